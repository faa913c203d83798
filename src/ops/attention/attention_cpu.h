#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "ops/attention/attention_config.h"
#include "quant/block_type.h"

namespace stepstone::cpu {

// Queries at positions past, past + 1, ... of one document and the keys of its positions
// [0, past + rows).
struct AttentionSequence {
  std::int64_t row;   // of the first query in q, y and lse
  std::int64_t rows;  // number of queries
  std::int64_t past;
  const void* k;  // of position 0, kv head 0
  const void* v;
  // Block i of the keys is block pages[i] of k and v; null: block i. Of blocked caches.
  const std::int32_t* pages = nullptr;
};

// The keys or values of a KvCacheLayer.
struct CachedSide {
  BlockType type = BlockType::f32;
  std::int64_t block_bytes = 0;  // of one head
};

// Element (i, j) of a matrix of heads is data[i * stride + j].
struct AttentionForward {
  ops::AttentionConfig config;  // scale set
  std::span<const AttentionSequence> sequences;
  DType dtype;  // of q, and of k and v in rows: f32 or bf16
  const void* q;
  std::int64_t q_stride;
  bool blocked;             // k and v in the blocks of a KvCacheLayer, not in rows
  std::int64_t kv_stride;   // of rows
  CachedSide keys, values;  // of blocks
  DType y_dtype;
  void* y;
  std::int64_t y_stride;
  float* lse;  // [rows of q, heads] or null: log2 of the sum of exp
};

void attention_forward(const AttentionForward& args);

// dqkv (+)= the gradient, from the saved forward pass. dq, dk and dv have the strides of q, k, v.
struct AttentionBackward {
  AttentionForward forward;  // as run: keys in rows, past 0
  const void* dy;            // like y
  void* dqkv;                // rows like q: query, key and value heads side by side
  bool accumulate;
};

void attention_backward(const AttentionBackward& args);

}  // namespace stepstone::cpu
