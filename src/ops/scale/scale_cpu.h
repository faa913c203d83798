#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// y (+)= factor * x; equal shapes and dtypes. y may be x.
void scale(const Tensor& x, float factor, const Tensor& y, bool accumulate = false);

}  // namespace stepstone::cpu
