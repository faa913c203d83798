#include "train/run_session.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <set>

#include "core/version.h"
#include "io/atomic_file.h"
#include "io/run_registry.h"
#include "io/utf8.h"
#include "stone/stone.h"
#include "train/checkpoint.h"
#include "train/memory_forecast.h"
#include "train/report.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

Json read_about(const fs::path& folder) {
  const auto file = folder / "stepstone.json";
  return fs::exists(file) ? read_json(file) : Json::object();
}

// Nothing where nothing was validated: a loss of 0 would be the best of all.
Json scores_of(const TrainOutcome& outcome) {
  if (outcome.validation.tokens == 0) return Json::object();
  Json scores = {{"val_loss", outcome.validation.loss}};
  if (const auto bits = outcome.validation.bits_per_byte) scores["val_bpb"] = *bits;
  return scores;
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
          {"scores", scores_of(outcome)}};
}

std::string length_of(const TrainOptions& options) {
  return options.max_seconds > 0 ? fmt::format("{:g} minutes", options.max_seconds / 60)
                                 : fmt::format("{} steps", options.schedule.steps);
}

// What may differ when a run goes on: its length, and what it reports and keeps.
constexpr std::string_view kFreeKeys[] = {"/train/steps",         "/train/tokens_per_parameter",
                                          "/train/minutes",       "/train/log_every",
                                          "/train/eval_every",    "/train/save_every",
                                          "/train/save_minutes",  "/train/sample_every",
                                          "/train/sample_prompt", "/train/keep_checkpoints"};

// The recipe as pointer → value, without the keys that may differ.
Json fixed_keys(const Json& recipe) {
  Json flat = recipe.empty() ? Json::object() : recipe.flatten();
  for (const std::string_view key : kFreeKeys) flat.erase(std::string(key));
  return flat;
}

std::string shown(const Json& object, const std::string& key) {
  return object.contains(key) ? dump_json(object[key]) : "nothing";
}

// Keeps in run.json what the run began with, and holds a resumed run to it.
void require_same_run(const RunSession& session, const Recipe& recipe, const Corpus& corpus) {
  const auto file = session.out / "run.json";
  if (!session.resume || !fs::exists(file)) {
    write_file(file, dump_json({{"recipe", recipe.source}, {"data", corpus.sources}}, 2) + "\n");
    return;
  }
  const Json began = read_json(file);
  const Json then = fixed_keys(get<Json>(began, "recipe", file.string()));
  const Json now = fixed_keys(recipe.source);
  Json keys = then;
  keys.update(now);
  for (const auto& [key, unused] : keys.items()) {
    std::string name = key.substr(1);
    std::replace(name.begin(), name.end(), '/', '.');
    require<UsageError>(shown(then, key) == shown(now, key),
                        "{}: is {} now and was {} when the run in {} began; use another --out",
                        name, shown(now, key), shown(then, key), session.out.string());
  }
  const auto hashes = [](const Json& sources) {
    std::multiset<std::string> all;
    for (const Json& hash : sources) all.insert(hash.dump());
    return all;
  };
  const Json data = get<Json>(began, "data", file.string());
  const auto known = hashes(data), given = hashes(corpus.sources);
  for (const auto& [name, hash] : corpus.sources.items()) {
    require<UsageError>(known.contains(hash.dump()),
                        "{}: is not what the run in {} began with; use another --out", name,
                        session.out.string());
  }
  require<UsageError>(known == given,
                      "--resume: the run in {} began with {} files, now there are {}",
                      session.out.string(), known.size(), given.size());
}

Json metrics_of(const TrainOutcome& outcome) {
  Json metrics = {{"loss", outcome.loss},
                  {"steps", outcome.steps},
                  {"tokens", outcome.tokens},
                  {"train_seconds", outcome.seconds}};
  metrics.update(scores_of(outcome));
  return metrics;
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
      registry_->set_metrics(id_, metrics_of(outcome));
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

std::optional<TrainOutcome> finished_run(const fs::path& out) {
  const auto file = out / "stepstone.json";
  if (!fs::exists(file)) return std::nullopt;
  const Json about = read_json(file);
  TrainOutcome outcome;
  outcome.steps = get<std::int64_t>(about, "steps", file.string());
  outcome.tokens = get<std::int64_t>(about, "tokens", file.string());
  outcome.seconds = get<double>(about, "train_seconds", file.string());
  outcome.validation.loss = get_or<double>(about, "/scores/val_loss", file.string(), 0);
  if (about.contains(Json::json_pointer("/scores/val_bpb"))) {
    outcome.validation.bits_per_byte = get_or<double>(about, "/scores/val_bpb", file.string(), 0);
  }
  return outcome;
}

RunFolder::RunFolder(const fs::path& out, bool resume) {
  require<UsageError>(is_utf8(out.string()), "--out: \"{}\" is not UTF-8",
                      to_utf8_lossy(out.string()));
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
  require_same_run(session, recipe, corpus);
  RunLog log(session.out, session.quiet);
  if (const auto finished = finished_run(session.out)) {
    const bool longer =
        recipe.train.max_seconds == 0 && recipe.train.schedule.steps > finished->steps;
    if (!longer) {
      log.message(
          fmt::format("{}: already finished, at step {}", session.out.string(), finished->steps));
      return *finished;
    }
    require<UsageError>(
        !checkpoint_steps(session.out).empty(),
        "{}: finished at step {}, and has no checkpoint to go on from; use another --out",
        session.out.string(), finished->steps);
  }
  log.message(
      fmt::format("{}: {:.2f} M parameters, vocabulary {}, {} of {} tokens a step, about "
                  "{:.2f} GB of memory",
                  recipe.name, static_cast<double>(model.config().parameters()) / 1e6,
                  model.config().vocab_size, length_of(recipe.train),
                  recipe.rows * recipe.context * recipe.train.accumulate,
                  forecast_memory(recipe).total() / 1e9));
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
