#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// y = the columns of x from `begin` on, as many as y has.
void columns_forward(const Tensor& x, std::int64_t begin, const Tensor& y);
// Those columns of dx (+)= dy; the others are 0 unless `accumulate`.
void columns_backward(const Tensor& dy, std::int64_t begin, const Tensor& dx, bool accumulate);

}  // namespace stepstone::cpu
