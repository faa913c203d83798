// How much memory a training run will take, before it takes it.
#pragma once

#include <cstdint>
#include <string_view>

#include "train/recipe.h"

namespace stepstone {

// Bytes. Within a fifth of what runs of GPT-2 124M took.
struct MemoryForecast {
  double weights = 0;      // f32
  double gradients = 0;    // f32
  double optimizer = 0;    // AdamW: two of each weight; Muon: one; and the average of train.ema
  double activations = 0;  // what a batch keeps for its backward pass

  double total() const { return weights + gradients + optimizer + activations; }
};

// `recipe.model` with its vocabulary filled in.
MemoryForecast forecast_memory(const Recipe& recipe);

// What this process may still take: free memory and swap, within the limits of its control group.
// `proc` and `cgroup` as in /proc and /sys/fs/cgroup. Infinity where neither says anything.
double available_memory(std::string_view proc = "/proc",
                        std::string_view cgroup = "/sys/fs/cgroup");

// Throws UsageError naming numbers and keys when the run cannot fit into `available` bytes, of
// which it has `taken` already; a forecast that is short by less than a fifth gives a note on
// standard error, for it may be wrong by that much.
void require_memory(const Recipe& recipe, double available, double taken = 0);

}  // namespace stepstone
