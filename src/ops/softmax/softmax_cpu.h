#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// x, y [rows, n], one dtype.
void softmax_forward(const Tensor& x, const Tensor& y);
// dx (+)= y * (dy - sum_j dy * y)
void softmax_backward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate);

}  // namespace stepstone::cpu
