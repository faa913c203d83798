#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// x, y [rows, n]; weight [n] f32 or undefined; inverse_rms [rows] f32, written.
void rms_norm_forward(const Tensor& x, const Tensor& weight, float eps, const Tensor& y,
                      const Tensor& inverse_rms);
// dx (+)= inverse_rms * (g - x * inverse_rms^2 * mean(g * x)) with g = dy * weight
void rms_norm_backward_x(const Tensor& x, const Tensor& weight, const Tensor& inverse_rms,
                         const Tensor& dy, const Tensor& dx, bool accumulate);
// dweight[j] (+)= sum over rows of dy * x * inverse_rms
void rms_norm_backward_weight(const Tensor& x, const Tensor& inverse_rms, const Tensor& dy,
                              const Tensor& dweight, bool accumulate);

}  // namespace stepstone::cpu
