#include "pipeline/speedrun_recipes.h"

#include <fmt/format.h>

namespace stepstone {
namespace {

// What both halves say of data and training. Small batches: the tasks need many steps more than
// they need many tokens (docs/decisions.md, "Speedrun"). A checkpoint took
// 0.03 s when it was measured (by hand): one every 24 s is about a thousandth of the time.
std::string data_and_train(double minutes, std::uint64_t seed, std::string_view data = "") {
  return fmt::format(R"([data]
mode = "documents"
val_fraction = 0.02
val_tokens = 16384
{}
[train]
context = 256
rows = 4
steps = 100000
minutes = {:.4f}
save_minutes = 0.4
log_every = 50
eval_every = 500
seed = {}

[optim]
kind = "muon"
lr = 0.03
head_lr = 0.01
iterations = 3
)",
                     data, minutes, seed);
}

}  // namespace

// A model of one million weights: what two slow cores can take through a few million tokens in four
// minutes.
std::string speedrun_pretrain_recipe(double minutes, std::uint64_t seed) {
  return R"(# Pretraining half of a speedrun.
[model]
family = "qwen3"
layers = 4
hidden_size = 128
heads = 4
intermediate_size = 384

[tokenizer]
kind = "bpe"
vocab_size = 1536
pattern = "cl100k"

)" + data_and_train(minutes, seed, "weights = [0.3, 0.7]  # documents, chats\n") +
         R"(embedding_lr = 0.03
schedule = "wsd"
decay = 0.3
final_scale = 0.3
momentum_warmup = 100
)";
}

std::string speedrun_tune_recipe(double minutes, std::uint64_t seed) {
  return "# Chat-tuning half of a speedrun.\n" + data_and_train(minutes, seed) +
         R"(embedding_lr = 0.02
schedule = "linear"
momentum_warmup = 50
)";
}

}  // namespace stepstone
