#pragma once

#include "core/tensor.h"

namespace stepstone::cpu {

enum class Broadcast : std::uint8_t { none, row, column };  // b [rows, n], [n] or [rows, 1]

// y (+)= a * b; b is f32 unless `none`.
void mul(const Tensor& a, const Tensor& b, Broadcast kind, const Tensor& y,
         bool accumulate = false);
// db (+)= dy * a, summed over what b was broadcast over.
void mul_backward_b(const Tensor& a, const Tensor& dy, Broadcast kind, const Tensor& db,
                    bool accumulate);

}  // namespace stepstone::cpu
