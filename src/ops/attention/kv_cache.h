// Keys and values of one layer, of one sequence or of several that share its blocks as pages.
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"
#include "ops/attention/attention_config.h"

namespace stepstone::ops {

// Stored as the attention kernel reads them, in blocks of kKeyBlock positions: keys transposed, so
// that decoding does not transpose the whole past for every token.
class KvCacheLayer {
 public:
  KvCacheLayer() = default;
  // Room for `capacity` positions; dtype f32 or bf16. Memory is touched only as it is stored to.
  KvCacheLayer(std::int64_t capacity, std::int64_t kv_heads, std::int64_t head_dim, DType dtype);

  std::int64_t capacity() const { return capacity_; }
  std::int64_t kv_heads() const { return k.dim(1); }
  std::int64_t head_dim() const { return k.dim(2); }
  DType dtype() const { return k.dtype(); }
  std::size_t bytes() const { return k.bytes() + v.bytes(); }

  // Stores rows [begin, end) of qkv, shaped as the attention op takes it, as positions past, ...
  // Position p lies in block pages[p / kKeyBlock], or p / kKeyBlock without pages.
  void store(const Tensor& qkv, std::int64_t begin, std::int64_t end, std::int64_t past,
             std::span<const std::int32_t> pages = {});
  void copy_block(std::int64_t from, std::int64_t to);

  Tensor k;  // [blocks, kv_heads, head_dim, kKeyBlock]
  Tensor v;  // [blocks, kv_heads, kKeyBlock, padded_head(head_dim)]

 private:
  std::int64_t capacity_ = 0;
};

}  // namespace stepstone::ops
