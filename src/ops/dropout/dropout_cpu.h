#pragma once

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"

namespace stepstone::cpu {

struct DropoutMask {
  float p;
  std::uint64_t seed, stream;
};

// p in steps of 2^-16, the probability that the mask has exactly. Below 1 for p < 1.
inline std::uint32_t dropped_steps(float p) {
  return std::min(65535u, static_cast<std::uint32_t>(p * 65536.0f + 0.5f));
}

// y (+)= x / (1 - p) where the mask keeps the element, 0 elsewhere; equal shapes and dtypes.
// Element i = 128 g + 32 w + 16 h + r (w < 4, h < 2, r < 16) is kept when half h (0: low) of word w
// of the Philox block with counter (16 g + r, stream) and key seed is at least dropped_steps(p).
void dropout(const Tensor& x, const DropoutMask& mask, const Tensor& y, bool accumulate = false);

}  // namespace stepstone::cpu
