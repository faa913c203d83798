#include "ops/attention/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "quant/blocks.h"

namespace stepstone::ops {
namespace {

// Of `count` elements with `scales` scales, if the type has such.
std::int64_t bytes_of_block(BlockType type, std::int64_t count, std::int64_t scales) {
  switch (type) {
    case BlockType::f32:
      return count * 4;
    case BlockType::bf16:
    case BlockType::f16:
      return count * 2;
    case BlockType::q8_0:
      return count + scales * 4;
    default:
      throw UsageError(fmt::format("keys and values are kept in f32, bf16, f16 or q8_0, not in {}",
                                   name_of(type)));
  }
}

std::int64_t key_bytes(BlockType type, std::int64_t head_dim) {
  return bytes_of_block(type, head_dim * kKeyBlock, head_scales(head_dim) * kKeyBlock);
}
std::int64_t value_bytes(BlockType type, std::int64_t head_dim) {
  return bytes_of_block(type, padded_head(head_dim) * kKeyBlock, head_scales(head_dim) * kKeyBlock);
}

// Where one position lies in a block: element j is number first + j * step, scale i number
// first_scale + i * scale_step of those that follow `count` elements.
struct Place {
  std::int64_t first, step, count, first_scale, scale_step;
};

template <typename To, typename Convert>
void put_each(std::span<const float> row, const Place& at, std::byte* block, Convert&& convert) {
  To* to = reinterpret_cast<To*>(block) + at.first;
  for (const float x : row) {
    *to = convert(x);
    to += at.step;
  }
}

// scale = max |x| / 127, and what it leaves of x rounded to nearest even. An infinity or NaN makes
// the scale one, and so all 32 values NaN.
void put_q8(std::span<const float> row, const Place& at, std::byte* block) {
  auto* q = reinterpret_cast<std::int8_t*>(block) + at.first;
  float* scale = reinterpret_cast<float*>(block + at.count) + at.first_scale;
  for (std::size_t begin = 0; begin < row.size(); begin += kScaled, scale += at.scale_step) {
    const auto part = row.subspan(begin, std::min<std::size_t>(kScaled, row.size() - begin));
    std::uint32_t top = 0;  // bits of non-negative numbers rise as they do, NaN above all
    for (const float x : part) top = std::max(top, std::bit_cast<std::uint32_t>(x) & 0x7fffffffu);
    *scale = std::bit_cast<float>(top) / 127;
    const bool normal = *scale >= std::numeric_limits<float>::min() && std::isfinite(*scale);
    const float inverse = normal ? 1 / *scale : 0;
    for (const float x : part) {
      *q = static_cast<std::int8_t>(normal ? std::nearbyint(x * inverse) : 0);
      q += at.step;
    }
  }
}

void put(BlockType type, std::span<const float> row, const Place& at, std::byte* block) {
  switch (type) {
    case BlockType::f32:
      return put_each<float>(row, at, block, [](float x) { return x; });
    case BlockType::bf16:
      return put_each<bf16>(row, at, block, [](float x) { return bf16(x); });
    case BlockType::f16:
      return put_each<Half>(row, at, block, float_to_half);
    default:
      return put_q8(row, at, block);
  }
}

}  // namespace

KvTypes::KvTypes(DType compute)
    : k(compute == DType::f32 ? BlockType::f32 : BlockType::bf16), v(k) {
  require<UsageError>(compute == DType::f32 || compute == DType::bf16, "kv cache: no {} keys",
                      name_of(compute));
}

KvCacheLayer::KvCacheLayer(std::int64_t capacity, std::int64_t kv_heads, std::int64_t head_dim,
                           const KvTypes& types)
    : capacity_(capacity), head_dim_(head_dim), types_(types) {
  require<UsageError>(capacity > 0 && kv_heads > 0 && head_dim > 0,
                      "kv cache: capacity {}, kv_heads {} and head_dim {} must be positive",
                      capacity, kv_heads, head_dim);
  const std::int64_t blocks = (capacity - 1) / kKeyBlock + 1;
  k = Tensor::empty({blocks, kv_heads, key_bytes(types.k, head_dim)}, DType::u8);
  v = Tensor::empty({blocks, kv_heads, value_bytes(types.v, head_dim)}, DType::u8);
}

std::int64_t KvCacheLayer::block_bytes(std::int64_t kv_heads, std::int64_t head_dim,
                                       const KvTypes& types) {
  return kv_heads * (key_bytes(types.k, head_dim) + value_bytes(types.v, head_dim));
}

void KvCacheLayer::store(const Tensor& qkv, std::int64_t begin, std::int64_t end, std::int64_t past,
                         std::span<const std::int32_t> pages) {
  const std::int64_t d = head_dim(), heads = kv_heads(), padded = padded_head(d);
  const std::int64_t width = heads * d, cols = qkv.cols(), scales = head_scales(d);
  auto* keys = static_cast<std::byte*>(k.raw());
  auto* values = static_cast<std::byte*>(v.raw());
  dispatch(qkv, [&](const auto* x) {
    parallel_for(heads, 1, [=, this](std::int64_t first, std::int64_t last) {
      std::vector<float> value(static_cast<std::size_t>(padded), 0.0f);  // zeros behind head_dim
      const auto key = std::span(value).first(static_cast<std::size_t>(d));
      for (std::int64_t h = first; h < last; ++h) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t position = past + i - begin;
          const std::int64_t page = position / kKeyBlock, slot = position % kKeyBlock;
          const std::int64_t block =
              (pages.empty() ? page : pages[static_cast<std::size_t>(page)]) * heads + h;
          const auto* from = x + i * cols + cols - 2 * width + h * d;
          const auto widen = [](auto element) { return static_cast<float>(element); };
          std::transform(from, from + d, key.begin(), widen);
          put(types_.k, key, {slot, kKeyBlock, d * kKeyBlock, slot, kKeyBlock},
              keys + block * k.dim(2));
          std::transform(from + width, from + width + d, key.begin(), widen);
          put(types_.v, value, {slot * padded, 1, padded * kKeyBlock, slot * scales, 1},
              values + block * v.dim(2));
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
