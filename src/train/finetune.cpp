#include "train/finetune.h"

#include "stone/stone.h"
#include "tokenizer/chat_template.h"
#include "train/memory_forecast.h"
#include "train/run_session.h"

namespace stepstone {
namespace {

// The model with `vocab_size` rows in embedding and head; new rows are the mean of the old.
std::unique_ptr<Transformer> with_vocabulary(std::unique_ptr<Transformer> model,
                                             std::int64_t vocab_size) {
  if (vocab_size <= model->config().vocab_size) return model;
  TransformerConfig config = model->config();
  const std::int64_t old_rows = config.vocab_size;
  config.vocab_size = vocab_size;
  auto larger = std::make_unique<Transformer>(config);
  auto source = model->parameters().begin();
  for (nn::Parameter& p : larger->parameters()) {
    const Tensor& from = (source++)->var.value();
    const Tensor& to = p.var.value();
    if (from.shape() == to.shape()) {
      to.copy_from(from);
      continue;
    }
    to.slice(0, old_rows).copy_from(from);
    for (std::int64_t j = 0; j < from.cols(); ++j) {
      double mean = 0;
      for (std::int64_t i = 0; i < old_rows; ++i) mean += from.data<float>()[i * from.cols() + j];
      mean /= static_cast<double>(old_rows);
      for (std::int64_t i = old_rows; i < vocab_size; ++i) {
        to.data<float>()[i * from.cols() + j] = static_cast<float>(mean);
      }
    }
  }
  return larger;
}

// Model and tokenizer are the stone's, so a recipe must not seem to choose them.
void refuse_model_keys(const Recipe& recipe) {
  for (const char* section : {"model", "tokenizer"}) {
    const auto found = recipe.source.find(section);
    if (found == recipe.source.end() || found->empty()) continue;
    throw UsageError(fmt::format(
        "{}.{}: tuning takes the model and its tokenizer as they are; leave the key out", section,
        found->begin().key()));
  }
}

}  // namespace

TrainOutcome finetune(const FinetuneRequest& request) {
  Recipe recipe = request.recipe;
  refuse_model_keys(recipe);
  require<UsageError>(recipe.data.mode == "documents",
                      "data.mode: chats are packed as \"documents\", not \"{}\"", recipe.data.mode);
  check_corpus(recipe.data);
  const RunFolder folder(request.out, request.resume);
  Stone stone = load_stone(request.stone);
  if (stone.chat_template.empty()) {
    stone.chat_template = ChatTemplate::jinja();
    for (const std::string& token : ChatTemplate::special_tokens()) {
      stone.tokenizer.add_special(token);
    }
    stone.tokenizer.set_eos("<|im_end|>");
  }
  const auto model = with_vocabulary(std::move(stone.model), stone.tokenizer.vocab_size());
  recipe.model = model->config();
  require<UsageError>(recipe.context <= recipe.model.max_positions,
                      "train.context: {} is beyond the {} positions of {}", recipe.context,
                      recipe.model.max_positions, request.stone.string());
  require_memory(recipe, available_memory(), forecast_memory(recipe).weights);
  const Corpus corpus = prepare_corpus(recipe, request.out, &stone.tokenizer, stone.chat_template);
  RunSession session;
  session.kind = "tune";
  session.out = request.out;
  session.resume = request.resume;
  session.quiet = request.quiet;
  session.sample = request.sample;
  session.chat_template = stone.chat_template;
  session.parents = {request.stone};
  return run_training(session, recipe, *model, corpus);
}

}  // namespace stepstone
