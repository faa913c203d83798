#include "pipeline/speedrun_recipes.h"

#include <fmt/format.h>

namespace stepstone {

// A model of one million weights: what two slow cores can take through a few million tokens in four
// minutes. Small batches: the tasks need many steps more than they need many tokens
// (docs/decisions.md, "Speedrun").
std::string speedrun_pretrain_recipe(double minutes, std::uint64_t seed) {
  return fmt::format(R"(# Pretraining half of a speedrun.
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

[data]
mode = "documents"
val_fraction = 0.02
val_tokens = 16384
weights = [0.3, 0.7]

[train]
context = 256
rows = 4
steps = 100000
minutes = {:.4f}
log_every = 50
eval_every = 500
seed = {}

[optim]
kind = "muon"
lr = 0.03
embedding_lr = 0.03
head_lr = 0.01
schedule = "wsd"
decay = 0.3
final_scale = 0.3
momentum_warmup = 100
iterations = 3
)",
                     minutes, seed);
}

std::string speedrun_tune_recipe(double minutes, std::uint64_t seed) {
  return fmt::format(R"(# Chat-tuning half of a speedrun.
[data]
mode = "documents"
val_fraction = 0.02
val_tokens = 16384

[train]
context = 256
rows = 4
steps = 100000
minutes = {:.4f}
log_every = 50
eval_every = 500
seed = {}

[optim]
kind = "muon"
lr = 0.03
embedding_lr = 0.02
head_lr = 0.01
schedule = "linear"
momentum_warmup = 50
iterations = 3
)",
                     minutes, seed);
}

}  // namespace stepstone
