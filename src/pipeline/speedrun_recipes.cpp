#include "pipeline/speedrun_recipes.h"

#include <fmt/format.h>

namespace stepstone {

// A model of 2 million weights: what two slow cores can take through a few million tokens in two
// minutes. Sizes and rates were tuned by runs (docs/decisions.md, "speedrun").
std::string speedrun_pretrain_recipe(double minutes, std::uint64_t seed) {
  return fmt::format(R"(# Pretraining half of a speedrun.
[model]
family = "qwen3"
layers = 4
hidden_size = 192
heads = 6
intermediate_size = 512

[tokenizer]
kind = "bpe"
vocab_size = 1536
pattern = "qwen2"

[data]
mode = "documents"
val_fraction = 0.02
val_tokens = 16384
weights = [0.5, 0.5]

[train]
context = 256
rows = 12
steps = 20000
minutes = {:.4f}
log_every = 25
eval_every = 250
seed = {}

[optim]
kind = "muon"
lr = 0.03
embedding_lr = 0.03
head_lr = 0.01
schedule = "wsd"
decay = 0.3
final_scale = 0.2
momentum_warmup = 100
iterations = 4
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
rows = 12
steps = 20000
minutes = {:.4f}
log_every = 25
eval_every = 250
seed = {}

[optim]
kind = "muon"
lr = 0.02
embedding_lr = 0.01
head_lr = 0.005
schedule = "linear"
momentum_warmup = 50
iterations = 4
)",
                     minutes, seed);
}

}  // namespace stepstone
