// Small f32 products of blocks in cache, and the packing that they need.
#if defined(STEPSTONE_ATTENTION_BLOCK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_ATTENTION_BLOCK_INL_H
#undef STEPSTONE_ATTENTION_BLOCK_INL_H
#else
#define STEPSTONE_ATTENTION_BLOCK_INL_H
#endif

#include "backend/cpu/simd-inl.h"
#include "ops/attention/attention_config.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

using ops::kKeyBlock;

// The register tile: kTileRows x kTileVectors sums, and as many vectors of B as the tile is wide,
// out of 32 registers (16 on AVX2). The load ports keep up from 4 rows on.
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = HWY_TARGET == HWY_AVX2 ? 2 : 4;

// Element (i, k) of A is data[i * row + k * step].
struct BlockA {
  const float* data;
  std::int64_t row, step;
};

// Where the sums start: at zero, or at C, multiplied by scale[i] when there is one.
struct Start {
  bool keep = false;
  const float* scale = nullptr;
};

HWY_INLINE VecF32 load(const hwy::float16_t* p) {
  const hn::Rebind<hwy::float16_t, F32> d16;
  return hn::PromoteTo(kF32, hn::LoadU(d16, p));
}
HWY_INLINE VecF32 load(const std::int8_t* p) {
  const hn::Rebind<std::int8_t, F32> d8;
  const hn::Rebind<std::int32_t, F32> d32;
  return hn::ConvertTo(kF32, hn::PromoteTo(d32, hn::LoadU(d8, p)));
}

// What is multiplied from the right, as f32, row by row: load(j) is lanes() elements of the present
// row from column j on, next() goes to the row below, from(j) lets columns count from j.
template <typename T>
struct PlainB {
  const T* at;
  std::int64_t ld;
  HWY_INLINE VecF32 load(std::int64_t j) const { return HWY_NAMESPACE::load(at + j); }
  HWY_INLINE void next() { at += ld; }
  HWY_INLINE PlainB from(std::int64_t j) const { return {at + j, ld}; }
};

// C[i, j] = start + A[i, k] B[k, j], each element one chain over k in rising order.
template <int Rows, int Vectors, typename B>
static void tile_product(std::int64_t depth, const BlockA& a, B b, float* HWY_RESTRICT c,
                         std::int64_t ldc, const Start& start) {
  const std::int64_t step = lanes();
  const float* HWY_RESTRICT column = a.data;
  const std::int64_t a_row = a.row, a_step = a.step;
  VecF32 sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) {
      sum[i][j] = start.keep ? load(c + i * ldc + j * step) : hn::Zero(kF32);
      if (start.scale) sum[i][j] = hn::Mul(sum[i][j], hn::Set(kF32, start.scale[i]));
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    VecF32 right[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) right[j] = b.load(j * step);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const auto left = hn::Set(kF32, column[i * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) sum[i][j] = hn::MulAdd(left, right[j], sum[i][j]);
    }
    column += a_step;
    b.next();
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) store(sum[i][j], c + i * ldc + j * step);
  }
}

template <int Vectors, typename B>
static void tile_rows(std::int64_t rows, std::int64_t depth, const BlockA& a, const B& b, float* c,
                      std::int64_t ldc, const Start& start) {
  switch (rows) {
    case 6:
      return tile_product<6, Vectors>(depth, a, b, c, ldc, start);
    case 5:
      return tile_product<5, Vectors>(depth, a, b, c, ldc, start);
    case 4:
      return tile_product<4, Vectors>(depth, a, b, c, ldc, start);
    case 3:
      return tile_product<3, Vectors>(depth, a, b, c, ldc, start);
    case 2:
      return tile_product<2, Vectors>(depth, a, b, c, ldc, start);
    default:
      return tile_product<1, Vectors>(depth, a, b, c, ldc, start);
  }
}

// The same for 1 to kTileRows rows and any number of whole vectors of columns.
template <typename B>
static void rows_product(std::int64_t rows, std::int64_t cols, std::int64_t depth, const BlockA& a,
                         const B& b, float* c, std::int64_t ldc, const Start& start = {}) {
  const std::int64_t step = lanes();
  for (std::int64_t j = 0; j < cols; j += kTileVectors * step) {
    const std::int64_t vectors = (cols - j) / step;
    if (vectors >= kTileVectors) {
      tile_rows<kTileVectors>(rows, depth, a, b.from(j), c + j, ldc, start);
    } else if (vectors == 3) {
      tile_rows<3>(rows, depth, a, b.from(j), c + j, ldc, start);
    } else if (vectors == 2) {
      tile_rows<2>(rows, depth, a, b.from(j), c + j, ldc, start);
    } else {
      tile_rows<1>(rows, depth, a, b.from(j), c + j, ldc, start);
    }
  }
}
template <typename T>
static void rows_product(std::int64_t rows, std::int64_t cols, std::int64_t depth, const BlockA& a,
                         const T* b, std::int64_t ldb, float* c, std::int64_t ldc,
                         const Start& start = {}) {
  rows_product(rows, cols, depth, a, PlainB<T>{b, ldb}, c, ldc, start);
}

inline std::int64_t whole_vectors(std::int64_t n) { return (n + lanes() - 1) / lanes() * lanes(); }

// to[i, 0..padded) = from[i, 0..n), zeros behind.
template <typename T>
static void pack_rows(std::int64_t rows, std::int64_t n, std::int64_t padded, const T* from,
                      std::int64_t stride, float* to) {
  const std::int64_t step = lanes();
  for (std::int64_t i = 0; i < rows; ++i, from += stride, to += padded) {
    std::int64_t j = 0;
    for (; j + step <= n; j += step) store(load(from + j), to + j);
    if (j < n) {
      store(load_n(from + j, n - j), to + j);
      j += step;
    }
    for (; j < padded; j += step) store(hn::Zero(kF32), to + j);
  }
}

// Four rows of a whole vector each, as columns: to[w * kKeyBlock + r] = row r, lane w. The 4 x 4
// squares are turned in registers and stored one by one.
static HWY_INLINE void store_turned(VecF32 r0, VecF32 r1, VecF32 r2, VecF32 r3, std::int64_t width,
                                    float* to) {
  const hn::Repartition<double, F32> pairs;
  HWY_ALIGN float turned[4][HWY_MAX_BYTES / sizeof(float)];
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(kF32, r0, r1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(kF32, r2, r3));
  const auto up01 = hn::BitCast(pairs, hn::InterleaveUpper(kF32, r0, r1));
  const auto up23 = hn::BitCast(pairs, hn::InterleaveUpper(kF32, r2, r3));
  store(hn::BitCast(kF32, hn::InterleaveLower(pairs, low01, low23)), turned[0]);
  store(hn::BitCast(kF32, hn::InterleaveUpper(pairs, low01, low23)), turned[1]);
  store(hn::BitCast(kF32, hn::InterleaveLower(pairs, up01, up23)), turned[2]);
  store(hn::BitCast(kF32, hn::InterleaveUpper(pairs, up01, up23)), turned[3]);
  for (std::int64_t w = 0; w < width; ++w) {
    std::memcpy(to + w * kKeyBlock, turned[w % 4] + w / 4 * 4, 4 * sizeof(float));
  }
}

// to[j, i] = from[i, j] for rows i < kKeyBlock and columns j < n; ld of `to` is kKeyBlock, whose
// columns up to a whole vector are zero-filled.
template <typename T>
static void pack_transposed(std::int64_t rows, std::int64_t n, const T* from, std::int64_t stride,
                            float* to) {
  const std::int64_t step = lanes();
  const auto turn = [=](std::int64_t i, std::int64_t j) HWY_ATTR {
    const auto row = [=](std::int64_t r) HWY_ATTR {
      if (r >= rows) return hn::Zero(kF32);
      return load_n(from + r * stride + j, std::min(step, n - j));
    };
    store_turned(row(i), row(i + 1), row(i + 2), row(i + 3), std::min(step, n - j),
                 to + j * kKeyBlock + i);
  };
  // Down the rows inside, so that each line of `to` is completed while it is in the first cache.
  for (std::int64_t j = 0; j < n; j += step) {
    std::int64_t i = 0;
    if (j + step <= n) {
      for (; i < rows / 4 * 4; i += 4) {
        const T* p = from + i * stride + j;
        store_turned(load(p), load(p + stride), load(p + 2 * stride), load(p + 3 * stride), step,
                     to + j * kKeyBlock + i);
      }
    }
    for (; i < whole_vectors(rows); i += 4) turn(i, j);
  }
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
