#include "train/pretrain.h"

#include "stone/stone.h"
#include "train/checkpoint.h"
#include "train/corpus.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

// A folder that already holds a run is only touched to resume it.
void check_folder(const fs::path& out, bool resume) {
  const bool used = fs::exists(out / "stepstone.json") || !checkpoint_steps(out).empty();
  require<UsageError>(resume || !used,
                      "{}: already holds a run; use --resume to go on with it, or another --out",
                      out.string());
  fs::create_directories(out);
}

Json provenance(const PretrainRequest& request, const Corpus& corpus, const TrainOutcome& outcome) {
  const Recipe& r = request.recipe;
  return {{"name", r.name},
          {"kind", "pretrain"},
          {"parents", Json::array()},
          {"recipe", r.source},
          {"data", corpus.sources},
          {"seed", r.train.seed},
          {"compute", name_of(r.train.compute)},
          {"steps", outcome.steps},
          {"tokens", outcome.tokens},
          {"train_seconds", outcome.seconds},
          {"scores",
           {{"val_loss", outcome.validation.loss}, {"val_bpb", outcome.validation.bits_per_byte}}}};
}

}  // namespace

TrainOutcome pretrain(const PretrainRequest& request) {
  Recipe recipe = request.recipe;
  check_folder(request.out, request.resume);
  RunLog log(request.out, request.quiet);
  Corpus corpus = prepare_corpus(recipe, request.out);
  recipe.model.vocab_size = corpus.tokenizer.vocab_size();
  Transformer model(recipe.model);
  model.initialize(recipe.init);
  log.message(fmt::format("{}: {:.2f} M parameters, {} tokens in the vocabulary, {} steps of {} tokens",
                          recipe.name, static_cast<double>(recipe.model.parameters()) / 1e6,
                          recipe.model.vocab_size, recipe.train.schedule.steps,
                          recipe.rows * recipe.context * recipe.train.accumulate));
  Optimizer optimizer(model.parameters(), recipe.optim);
  Sampler sampler(corpus.train, corpus.sampling(recipe));
  const EvalBatches validation(corpus.validation, corpus.sampling(recipe));
  recipe.train.context = recipe.context;
  recipe.train.profiler = request.profiler;
  TrainCallbacks callbacks;
  callbacks.evaluate = [&] { return evaluate(model, validation, recipe.train.compute); };
  if (request.sample) {
    callbacks.sample = [&] {
      return request.sample(model, corpus.tokenizer, recipe.train.compute);
    };
  }
  const TrainOutcome outcome = train(model, optimizer, sampler, recipe.train, callbacks, log,
                                     request.out, request.resume);
  if (outcome.signal == 0) {
    save_stone(request.out, {.model = &model,
                             .tokenizer = &corpus.tokenizer,
                             .chat_template = {},
                             .about = provenance(request, corpus, outcome)});
    log.message(fmt::format("saved {}", request.out.string()));
  }
  return outcome;
}

}  // namespace stepstone
