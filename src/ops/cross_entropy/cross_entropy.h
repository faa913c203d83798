// Softmax cross-entropy of logits, summed over the tokens that have a target.
//
//   lse_i = log(sum_j exp(z[i, j]))
//   y     = scale * sum_i (lse_i - z[i, target_i] + z_loss * lse_i^2)
//
// z [T, V] f32; targets [T], each in [0, V), or -1: the token does not count. y [1] f32, summed in
// double in the order of the tokens. z_loss keeps the normaliser near 1 (PaLM, arXiv:2204.02311,
// section 5). Saves its gradient [T, V]. For an output projection use head_loss, which never holds
// all logits.
#pragma once

#include <cstdint>

#include "ops/op.h"

namespace stepstone::ops {

struct CrossEntropyConfig {
  float scale = 1;  // 1 / count for a mean
  float z_loss = 0;
};

Var cross_entropy(Graph& graph, const Var& logits, std::span<const std::int32_t> targets,
                  const CrossEntropyConfig& config = {});

}  // namespace stepstone::ops
