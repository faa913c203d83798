#pragma once

#include <string>

#include "core/tensor.h"

namespace stepstone {

// Throws FormatError(file, name) with the place of the first value of an f32, bf16 or f16 tensor
// that is NaN or infinite.
void require_finite(const Tensor& weights, const std::string& file, const std::string& name);

}  // namespace stepstone
