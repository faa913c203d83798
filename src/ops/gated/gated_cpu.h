#pragma once

#include "core/tensor.h"
#include "ops/activation/activation.h"

namespace stepstone::cpu {

// x [rows, 2F], y [rows, F], one dtype.
void gated_forward(const Tensor& x, ops::Activation kind, const Tensor& y);
// dx[i, j] (+)= dy[i, j] * up * f'(gate);  dx[i, F + j] (+)= dy[i, j] * f(gate)
void gated_backward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                    bool accumulate);

}  // namespace stepstone::cpu
