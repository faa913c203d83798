// Blocks of a cache, laid out as attention_config.h says, as right sides of products.
#if defined(STEPSTONE_ATTENTION_CACHE_BLOCK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_ATTENTION_CACHE_BLOCK_INL_H
#undef STEPSTONE_ATTENTION_CACHE_BLOCK_INL_H
#else
#define STEPSTONE_ATTENTION_CACHE_BLOCK_INL_H
#endif

#include "ops/attention/block-inl.h"
#include "quant/block_type.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

struct ScaledKeys {
  const std::int8_t* at;
  const float* scale;
  std::int64_t row = 0;
  HWY_INLINE VecF32 load(std::int64_t j) const {
    return hn::Mul(HWY_NAMESPACE::load(at + j), HWY_NAMESPACE::load(scale + j));
  }
  HWY_INLINE void next() {
    at += kKeyBlock;
    if (++row % ops::kScaled == 0) scale += kKeyBlock;
  }
  HWY_INLINE ScaledKeys from(std::int64_t j) const { return {at + j, scale + j, row}; }
};
struct ScaledValues {
  const std::int8_t* at;
  const float* scale;
  std::int64_t ld, scales, column = 0;
  HWY_INLINE VecF32 load(std::int64_t j) const {
    return hn::Mul(HWY_NAMESPACE::load(at + j), hn::Set(kF32, scale[(column + j) / ops::kScaled]));
  }
  HWY_INLINE void next() {
    at += ld;
    scale += scales;
  }
  HWY_INLINE ScaledValues from(std::int64_t j) const {
    return {at + j, scale, ld, scales, column + j};
  }
};

// The keys or the values of one block of one head.
struct Side {
  BlockType type;
  const void* data;
};

template <typename Fn>
static void with_plain(const Side& side, std::int64_t ld, std::int64_t row, Fn&& fn) {
  const auto call = [&]<typename T>(const T* data) HWY_ATTR { fn(PlainB<T>{data + row * ld, ld}); };
  if (side.type == BlockType::f32) return call(static_cast<const float*>(side.data));
  if (side.type == BlockType::bf16) return call(static_cast<const bf16*>(side.data));
  call(static_cast<const hwy::float16_t*>(side.data));
}

// fn(the keys, [head_dim, kKeyBlock]).
template <typename Fn>
static void with_keys(const Side& keys, std::int64_t head_dim, Fn&& fn) {
  if (keys.type != BlockType::q8_0) return with_plain(keys, kKeyBlock, 0, fn);
  const auto* q = static_cast<const std::int8_t*>(keys.data);
  fn(ScaledKeys{q, reinterpret_cast<const float*>(q + head_dim * kKeyBlock)});
}

// fn(the values from row `row` on, [.., padded_head(head_dim)]).
template <typename Fn>
static void with_values(const Side& values, std::int64_t head_dim, std::int64_t row, Fn&& fn) {
  const std::int64_t padded = ops::padded_head(head_dim), scales = ops::head_scales(head_dim);
  if (values.type != BlockType::q8_0) return with_plain(values, padded, row, fn);
  const auto* q = static_cast<const std::int8_t*>(values.data);
  const auto* scale = reinterpret_cast<const float*>(q + kKeyBlock * padded);
  fn(ScaledValues{q + row * padded, scale + row * scales, padded, scales});
}

// to[i, 0..cols) = row i of b; cols in whole vectors.
template <typename B>
static void unpack_rows(std::int64_t rows, std::int64_t cols, B b, float* to) {
  for (std::int64_t i = 0; i < rows; ++i, to += cols, b.next()) {
    for (std::int64_t j = 0; j < cols; j += lanes()) store(b.load(j), to + j);
  }
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
