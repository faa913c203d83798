#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace stepstone::cpu {

struct DropoutMask {
  float p;
  std::uint64_t seed, stream;
};

// y (+)= x / (1 - p) where the mask keeps the element, 0 elsewhere; equal shapes and dtypes.
// Element i = 64 g + 16 w + r (w < 4, r < 16) is kept when word w of the Philox block with counter
// (16 g + r, stream) and key seed is at least p * 2^32.
void dropout(const Tensor& x, const DropoutMask& mask, const Tensor& y, bool accumulate = false);

}  // namespace stepstone::cpu
