#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

// y = a + b; each f32 or bf16, equal shapes. y may be a.
void add(const Tensor& a, const Tensor& b, const Tensor& y);

}  // namespace stepstone::cpu
