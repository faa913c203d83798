#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// dbias[n] (+)= the sum of dy [rows, n] over rows.
void bias_gradient(const Tensor& dy, const Tensor& dbias, bool accumulate);

}  // namespace stepstone::cpu
