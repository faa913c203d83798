#pragma once

#include "core/tensor.h"
#include "ops/activation/activation.h"

namespace stepstone::cpu {

// y = f(x); equal shapes and dtypes.
void activation_forward(const Tensor& x, ops::Activation kind, const Tensor& y);
// dx (+)= dy * f'(x)
void activation_backward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                         bool accumulate);

}  // namespace stepstone::cpu
