#include "train/pretrain.h"

#include "train/memory_forecast.h"
#include "train/run_session.h"

namespace stepstone {

TrainOutcome pretrain(const PretrainRequest& request) {
  Recipe recipe = request.recipe;
  check_corpus(recipe.data);
  const RunFolder folder(request.out, request.resume);
  const Corpus corpus = prepare_corpus(recipe, request.out);
  recipe.model.vocab_size = corpus.tokenizer.vocab_size();
  require_memory(recipe, available_memory());
  Transformer model(recipe.model);
  model.initialize(recipe.init);
  RunSession session;
  session.kind = "pretrain";
  session.out = request.out;
  session.resume = request.resume;
  session.quiet = request.quiet;
  session.sample = request.sample;
  session.profiler = request.profiler;
  return run_training(session, recipe, model, corpus);
}

}  // namespace stepstone
