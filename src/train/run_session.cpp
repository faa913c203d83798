#include "train/run_session.h"

#include <fcntl.h>
#include <sys/file.h>

#include "core/version.h"
#include "io/run_registry.h"
#include "stone/stone.h"
#include "train/checkpoint.h"
#include "train/report.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

Json read_about(const fs::path& folder) {
  const auto file = folder / "stepstone.json";
  return fs::exists(file) ? read_json(file) : Json::object();
}

Json provenance(const RunSession& session, const Recipe& recipe, const Corpus& corpus,
                const TrainOutcome& outcome) {
  Json parents = Json::array();
  for (const fs::path& parent : session.parents) {
    parents.push_back({{"folder", parent.string()}, {"id", stone_id(read_about(parent))}});
  }
  return {{"name", recipe.name},
          {"kind", session.kind},
          {"parents", parents},
          {"recipe", recipe.source},
          {"data", corpus.sources},
          {"seed", recipe.train.seed},
          {"compute", name_of(recipe.train.compute)},
          {"steps", outcome.steps},
          {"tokens", outcome.tokens},
          {"train_seconds", outcome.seconds},
          {"scores",
           {{"val_loss", outcome.validation.loss}, {"val_bpb", outcome.validation.bits_per_byte}}}};
}

// The run's row in the registry. The registry is a convenience: a run goes on without it.
class Registration {
 public:
  Registration(const RunSession& session, const Recipe& recipe, const Corpus& corpus, RunLog& log)
      : log_(log) {
    guarded([&] {
      registry_ = std::make_unique<RunRegistry>();
      const fs::path out = fs::absolute(session.out);
      if (session.resume) {
        if (const auto known = registry_->find_by_folder(out)) {
          id_ = known->id;
          registry_->resume(id_);
          return;
        }
      }
      RunRecord record;
      record.name = recipe.name;
      record.kind = session.kind == "pretrain" ? "train" : session.kind;
      record.out_dir = out;
      record.recipe = recipe.source;
      record.data_hashes = corpus.sources;
      record.code_version = fmt::format("{} ({})", kVersion, kGitCommit);
      record.seed = recipe.train.seed;
      for (const fs::path& parent : session.parents) {
        if (const auto known = registry_->find_by_folder(fs::absolute(parent))) {
          record.parents.push_back(known->id);
        }
      }
      id_ = registry_->insert(record);
    });
  }

  void finish(const TrainOutcome& outcome) {
    guarded([&] {
      registry_->set_metrics(id_, {{"loss", outcome.loss},
                                   {"val_loss", outcome.validation.loss},
                                   {"val_bpb", outcome.validation.bits_per_byte},
                                   {"steps", outcome.steps},
                                   {"tokens", outcome.tokens},
                                   {"train_seconds", outcome.seconds}});
      registry_->finish(id_, outcome.signal == 0 ? RunStatus::done : RunStatus::stopped);
      finished_ = true;
    });
  }

  ~Registration() {
    if (!finished_) guarded([&] { registry_->finish(id_, RunStatus::failed); });
  }

 private:
  template <typename F>
  void guarded(F&& action) {
    if (broken_) return;
    try {
      action();
    } catch (const Error& e) {
      broken_ = true;
      log_.message(fmt::format("the run registry is left out: {}", e.what()));
    }
  }

  RunLog& log_;
  std::unique_ptr<RunRegistry> registry_;
  std::int64_t id_ = 0;
  bool broken_ = false, finished_ = false;
};

}  // namespace

RunFolder::RunFolder(const fs::path& out, bool resume) {
  const bool used = fs::exists(out / "stepstone.json") || !checkpoint_steps(out).empty();
  require<UsageError>(resume || !used,
                      "{}: already holds a run; use --resume to go on with it, or another --out",
                      out.string());
  std::error_code error;
  fs::create_directories(out, error);
  if (error) throw IoError("create", out.string(), error.value());
  lock_ = File::open(out / ".lock", O_RDWR | O_CREAT);
  require<UsageError>(flock(lock_.descriptor(), LOCK_EX | LOCK_NB) == 0,
                      "{}: another process is training there", out.string());
}

TrainOutcome run_training(const RunSession& session, const Recipe& recipe, Transformer& model,
                          const Corpus& corpus) {
  RunLog log(session.out, session.quiet);
  log.message(fmt::format("{}: {:.2f} M parameters, vocabulary {}, {} steps of {} tokens",
                          recipe.name, static_cast<double>(model.config().parameters()) / 1e6,
                          model.config().vocab_size, recipe.train.schedule.steps,
                          recipe.rows * recipe.context * recipe.train.accumulate));
  Registration registration(session, recipe, corpus, log);
  Optimizer optimizer(model.parameters(), recipe.optim);
  Sampler sampler(corpus.train, corpus.sampling(recipe));
  const EvalBatches validation(corpus.validation, corpus.sampling(recipe));
  TrainOptions options = recipe.train;
  options.context = recipe.context;
  options.profiler = session.profiler;
  TrainCallbacks callbacks;
  callbacks.evaluate = [&] { return evaluate(model, validation, options.compute); };
  if (session.sample && options.sample_every > 0) {
    callbacks.sample = [&] { return session.sample(model, corpus.tokenizer, options.compute); };
  }
  const TrainOutcome outcome =
      train(model, optimizer, sampler, options, callbacks, log, session.out, session.resume);
  if (outcome.signal == 0) {
    save_stone(session.out, {.model = &model,
                             .tokenizer = &corpus.tokenizer,
                             .chat_template = session.chat_template,
                             .about = provenance(session, recipe, corpus, outcome)});
    write_report(session.out / "report.html", training_report(recipe, model, outcome, log));
    log.message(fmt::format("saved {}", session.out.string()));
  }
  registration.finish(outcome);
  return outcome;
}

}  // namespace stepstone
