// Keys and values of one layer, of one sequence or of several that share its blocks as pages.
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"
#include "ops/attention/attention_config.h"
#include "quant/block_type.h"

namespace stepstone::ops {

// What keys and values are kept in: f32, bf16, f16 or q8_0.
struct KvTypes {
  KvTypes(BlockType keys, BlockType values) : k(keys), v(values) {}
  // Both as they are computed. Throws UsageError unless that is f32 or bf16.
  KvTypes(DType compute);  // NOLINT(google-explicit-constructor)
  bool operator==(const KvTypes&) const = default;

  BlockType k, v;
};

class KvCacheLayer {
 public:
  KvCacheLayer() = default;
  // Room for `capacity` positions. Memory is touched only as it is stored to. Throws UsageError for
  // other types than KvTypes names.
  KvCacheLayer(std::int64_t capacity, std::int64_t kv_heads, std::int64_t head_dim,
               const KvTypes& types);

  // Of one block of all heads.
  static std::int64_t block_bytes(std::int64_t kv_heads, std::int64_t head_dim,
                                  const KvTypes& types);

  std::int64_t capacity() const { return capacity_; }
  std::int64_t kv_heads() const { return k.dim(1); }
  std::int64_t head_dim() const { return head_dim_; }
  const KvTypes& types() const { return types_; }
  std::size_t bytes() const { return k.bytes() + v.bytes(); }

  // Stores rows [begin, end) of qkv, shaped as the attention op takes it, as positions past, ...
  // Position p lies in block pages[p / kKeyBlock], or p / kKeyBlock without pages.
  void store(const Tensor& qkv, std::int64_t begin, std::int64_t end, std::int64_t past,
             std::span<const std::int32_t> pages = {});
  void copy_block(std::int64_t from, std::int64_t to);

  // u8 [blocks, kv_heads, bytes of a block], which lies as attention_config.h says.
  Tensor k, v;

 private:
  std::int64_t capacity_ = 0, head_dim_ = 0;
  KvTypes types_ = DType::f32;
};

}  // namespace stepstone::ops
