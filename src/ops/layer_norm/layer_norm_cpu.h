#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// x, y [rows, n]; weight, bias [n] f32, bias may be undefined; mean and inverse_deviation [rows]
// f32, written.
void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                        const Tensor& y, const Tensor& mean, const Tensor& inverse_deviation);
// With u = (x - mean) * inverse_deviation and g = dy * weight:
// dx (+)= inverse_deviation * (g - mean(g) - u * mean(g * u))
void layer_norm_backward_x(const Tensor& x, const Tensor& weight, const Tensor& mean,
                           const Tensor& inverse_deviation, const Tensor& dy, const Tensor& dx,
                           bool accumulate);
// dweight[j] (+)= sum over rows of dy * u
void layer_norm_backward_weight(const Tensor& x, const Tensor& mean,
                                const Tensor& inverse_deviation, const Tensor& dy,
                                const Tensor& dweight, bool accumulate);

}  // namespace stepstone::cpu
