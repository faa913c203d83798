#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// y = 1 / sqrt(x + eps); f32, equal shapes.
void inverse_sqrt_forward(const Tensor& x, float eps, const Tensor& y);
// dx (+)= -dy * y^3 / 2
void inverse_sqrt_backward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate);

}  // namespace stepstone::cpu
