#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace stepstone::cpu {

struct RotaryArgs {
  std::int64_t heads, kv_heads, head_dim, rotary_dim;
  bool interleaved;
  float norm_eps;
  Tensor positions = {};            // [T] i32, each below the tables' rows
  Tensor cos = {}, sin = {};        // [rows, rotary_dim / 2] f32; undefined if rotary_dim is 0
  Tensor q_norm = {}, k_norm = {};  // [head_dim] f32 or undefined
};

// inverse_rms [T, heads + kv_heads] f32, or undefined when nothing is normalised.
void rotary_forward(const RotaryArgs& args, const Tensor& qkv, const Tensor& y,
                    const Tensor& inverse_rms);
void rotary_backward_qkv(const RotaryArgs& args, const Tensor& qkv, const Tensor& inverse_rms,
                         const Tensor& dy, const Tensor& dqkv, bool accumulate);
// The gradient of q_norm (query) or k_norm.
void rotary_backward_norm(const RotaryArgs& args, bool query, const Tensor& qkv,
                          const Tensor& inverse_rms, const Tensor& dy, const Tensor& dweight,
                          bool accumulate);

}  // namespace stepstone::cpu
