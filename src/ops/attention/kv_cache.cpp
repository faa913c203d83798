#include "ops/attention/kv_cache.h"

#include <algorithm>

#include "core/error.h"
#include "core/threads.h"

namespace stepstone::ops {

KvCacheLayer::KvCacheLayer(std::int64_t capacity, std::int64_t kv_heads, std::int64_t head_dim,
                           DType dtype)
    : capacity_(capacity) {
  require<UsageError>(capacity > 0 && kv_heads > 0 && head_dim > 0,
                      "kv cache: capacity {}, kv_heads {} and head_dim {} must be positive",
                      capacity, kv_heads, head_dim);
  require<UsageError>(dtype == DType::f32 || dtype == DType::bf16, "kv cache: no {} keys",
                      name_of(dtype));
  const std::int64_t blocks = (capacity - 1) / kKeyBlock + 1;
  k = Tensor::empty({blocks, kv_heads, head_dim, kKeyBlock}, dtype);
  v = Tensor::empty({blocks, kv_heads, kKeyBlock, padded_head(head_dim)}, dtype);
}

void KvCacheLayer::store(const Tensor& qkv, std::int64_t begin, std::int64_t end, std::int64_t past,
                         std::span<const std::int32_t> pages) {
  const std::int64_t d = head_dim(), heads = kv_heads(), padded = v.dim(3);
  const std::int64_t width = heads * d, cols = qkv.cols();
  dispatch(qkv, [&](auto* x) {
    using T = std::remove_pointer_t<decltype(x)>;
    T* keys = k.data<T>();
    T* values = v.data<T>();
    parallel_for(heads, 1, [=](std::int64_t first, std::int64_t last) {
      for (std::int64_t h = first; h < last; ++h) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t position = past + i - begin;
          const std::int64_t page = position / kKeyBlock;
          const std::int64_t block =
              (pages.empty() ? page : pages[static_cast<std::size_t>(page)]) * heads + h;
          const std::int64_t slot = position % kKeyBlock;
          const T* from = x + i * cols + cols - 2 * width + h * d;
          T* to = keys + block * d * kKeyBlock + slot;
          for (std::int64_t j = 0; j < d; ++j) to[j * kKeyBlock] = from[j];
          T* row = values + (block * kKeyBlock + slot) * padded;
          std::copy_n(from + width, d, row);
          std::fill(row + d, row + padded, T(0.0f));
        }
      }
    });
  });
}

void KvCacheLayer::copy_block(std::int64_t from, std::int64_t to) {
  k.slice(to, to + 1).copy_from(k.slice(from, from + 1));
  v.slice(to, to + 1).copy_from(v.slice(from, from + 1));
}

}  // namespace stepstone::ops
