#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace stepstone::cpu {

struct CrossEntropyRows {
  float softcap = 0;  // logits are softcap * tanh(z / softcap) when above 0
  float z_loss = 0;
  float scale = 1;  // of the gradient
  // The gradient is rounded to bf16, into the first half of each row's memory: a matrix of 2n to a
  // row.
  bool bf16_gradient = false;
};

// For each row i of z [rows, n] f32, whose target is in [0, n) or -1 (does not count):
//   nll[i]   the negative log-likelihood of the target, or 0
//   loss[i]  nll[i] + z_loss * lse^2
//   z[i, :]  the gradient of scale * loss[i] when `gradient`, undefined otherwise
// A row's results depend on that row alone.
void cross_entropy_rows(const Tensor& z, std::span<const std::int32_t> targets,
                        const CrossEntropyRows& config, bool gradient, std::span<double> nll,
                        std::span<double> loss);

// z = cap * tanh(z / cap), in place; the same bits as in cross_entropy_rows.
void softcap(const Tensor& z, float cap);

}  // namespace stepstone::cpu
