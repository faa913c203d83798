#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// x [rows, n]; y [rows, 1] f32.
void row_mean_forward(const Tensor& x, const Tensor& y);
// dx[i, j] (+)= dy[i] / n
void row_mean_backward(const Tensor& dy, const Tensor& dx, bool accumulate);

}  // namespace stepstone::cpu
