// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of the query and key heads, with
// an optional RMSNorm of each head before it (QK-norm, Qwen3): fused, since both are bound by
// memory.
//
//   n = x / sqrt(mean(x^2) + norm_eps) * weight     per head; n = x without a weight
//   y[i]     = n[i] cos_i - n[j] sin_i
//   y[j]     = n[j] cos_i + n[i] sin_i              (i, j) = (i, i + rotary_dim / 2), or
//                                                   (2i, 2i + 1) when interleaved
//   y[k]     = n[k] for k >= rotary_dim; value heads are copied
//
// qkv [T, (heads + 2 kv_heads) head_dim], f32 or bf16: query heads, key heads, value heads.
// positions [T]. q_norm, k_norm [head_dim] f32, each may be undefined. y like qkv in the graph's
// compute dtype. Saves qkv and, per normalised head, 1 / rms.
#pragma once

#include <cstdint>
#include <span>

#include "ops/op.h"
#include "ops/rotary/rotary_frequencies.h"

namespace stepstone::ops {

struct RotaryConfig {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t head_dim = 0;
  std::int64_t rotary_dim = 0;  // even, at most head_dim; 0: no rotation, the norms alone
  double theta = 10000;
  bool interleaved = false;  // GPT-J's pairs (2i, 2i + 1) instead of Llama's halves
  RopeScaling scaling = {};
  float norm_eps = 1e-6f;
};

Var rotary(Graph& graph, const Var& qkv, std::span<const std::int32_t> positions,
           const RotaryConfig& config, const Var& q_norm = {}, const Var& k_norm = {});

}  // namespace stepstone::ops
