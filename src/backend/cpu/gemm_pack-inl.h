// Packing into panels. See gemm_vector-inl.h for how it is included.
#pragma once

#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

inline float load_one(const MatrixRef& x, std::int64_t k, std::int64_t j) {
  const std::int64_t at = x.transposed ? j * x.ld + k : k * x.ld + j;
  if (x.dtype == DType::bf16) return static_cast<float>(static_cast<const bf16*>(x.data)[at]);
  return static_cast<const float*>(x.data)[at];
}

// Unit `step` of column j, as T.
template <typename T>
T* unit(const PackPanels& p, std::int64_t step, std::int64_t j) {
  return reinterpret_cast<T*>(p.to + j / p.width * p.panel_bytes) + step * p.width + j % p.width;
}

// Element by element: what the vector loops leave over.
void pack_rest(const PackPanels& p, std::int64_t k_begin, std::int64_t col_begin,
               std::int64_t col_end) {
  const auto value = [&](std::int64_t k, std::int64_t j) {
    if (k >= p.depth || j >= p.cols) return 0.0f;
    const float v = load_one(p.from, k, j);
    return p.round ? static_cast<float>(bf16(v)) : v;
  };
  const bool f32 = p.format == PanelFormat::f32;
  for (std::int64_t k = k_begin; k < p.depth; k += f32 ? 1 : 2) {
    for (std::int64_t j = col_begin; j < col_end; ++j) {
      if (f32) {
        *unit<float>(p, k, j) = value(k, j);
      } else {
        const std::uint32_t lower = bf16(value(k, j)).bits, upper = bf16(value(k + 1, j)).bits;
        *unit<std::uint32_t>(p, k / 2, j) = lower | upper << 16;
      }
    }
  }
}

// Into L2: what packing reads often lies in memory, in runs too short for the processor's own
// prefetching (docs/decisions/gemm.md).
inline void fetch(const void* from) { __builtin_prefetch(from, 0, 2); }
inline constexpr std::int64_t kRowsAhead = 32;

// Vectors of rows k and k + 1 of the matrix to the panel whose row k (k even) of units is at `to`.
template <typename D>
HWY_INLINE void put_two(D d, const PackPanels& p, float* to, hn::Vec<D> lower, hn::Vec<D> upper) {
  if (p.round) {
    lower = round_to_bf16(d, lower);
    upper = round_to_bf16(d, upper);
  }
  if (p.format == PanelFormat::f32) {
    hn::Store(lower, d, to);
    hn::Store(upper, d, to + p.width);
  } else {
    const U32<D> du;
    hn::Store(pairs_of(d, lower, upper), du, reinterpret_cast<std::uint32_t*>(to));
  }
}

// The source is read as it lies in memory, a row at a time, and all panels are written side by
// side.
template <PanelFormat kFormat, bool kRound, typename D, typename T, typename Load>
HWY_INLINE void pack_rows(D d, PackPanels p, std::int64_t full_cols, const T* data, Load load) {
  p.format = kFormat;
  p.round = kRound;
  const std::ptrdiff_t two_rows = (kFormat == PanelFormat::f32 ? 2 : 1) * p.width;
  for (std::int64_t k = 0; k + 1 < p.depth; k += 2) {
    const T* row = data + k * p.from.ld;
    std::byte* panel = p.to + k / 2 * two_rows * 4;
    for (std::int64_t col = 0; col < full_cols; col += p.width, panel += p.panel_bytes) {
      auto* to = reinterpret_cast<float*>(panel);
      const std::int64_t stop = col + p.width < full_cols ? col + p.width : full_cols;
      for (std::int64_t j = col; j < stop; j += kLanes<D>, to += kLanes<D>) {
        fetch(row + kRowsAhead * p.from.ld + j);
        fetch(row + (kRowsAhead + 1) * p.from.ld + j);
        put_two(d, p, to, load(row + j), load(row + p.from.ld + j));
      }
    }
  }
}

// bf16 to pairs needs no rounding: the halves of two rows are put side by side.
template <typename D>
std::int64_t pair_rows(D, const PackPanels& p, std::int64_t full_cols) {
  const U32<D> du;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto* data = static_cast<const std::uint16_t*>(p.from.data);
  for (std::int64_t k = 0; k + 1 < p.depth; k += 2) {
    const std::uint16_t* row = data + k * p.from.ld;
    std::byte* panel = p.to + k / 2 * p.width * 4;
    for (std::int64_t col = 0; col < full_cols; col += p.width, panel += p.panel_bytes) {
      auto* to = reinterpret_cast<std::uint32_t*>(panel);
      const std::int64_t stop = col + p.width < full_cols ? col + p.width : full_cols;
      for (std::int64_t j = col; j < stop; j += kLanes<D>, to += kLanes<D>) {
        fetch(row + kRowsAhead * p.from.ld + j);
        fetch(row + (kRowsAhead + 1) * p.from.ld + j);
        const auto lower = hn::PromoteTo(du, hn::LoadU(d16, row + j));
        const auto upper = hn::PromoteTo(du, hn::LoadU(d16, row + p.from.ld + j));
        hn::Store(hn::Or(lower, hn::ShiftLeft<16>(upper)), du, to);
      }
    }
  }
  return p.depth / 2 * 2;
}

template <typename D>
std::int64_t pack_straight(D d, const PackPanels& p, std::int64_t full_cols) {
  const bool pairs = p.format == PanelFormat::bf16_pairs;
  if (pairs && p.from.dtype == DType::bf16) return pair_rows(d, p, full_cols);
  const auto pack = [&](const auto* data, auto load) {
    if (pairs) {
      pack_rows<PanelFormat::bf16_pairs, true>(d, p, full_cols, data, load);
    } else if (p.round) {
      pack_rows<PanelFormat::f32, true>(d, p, full_cols, data, load);
    } else {
      pack_rows<PanelFormat::f32, false>(d, p, full_cols, data, load);
    }
  };
  if (p.from.dtype == DType::f32) {
    pack(static_cast<const float*>(p.from.data), [d](const float* x) { return hn::LoadU(d, x); });
  } else {
    pack(static_cast<const std::uint16_t*>(p.from.data),
         [d](const std::uint16_t* x) { return load_bf16(d, x); });
  }
  return p.depth / 2 * 2;
}

// 128-bit block b of the result is the 16 bytes at from + 4·b·stride. Loading blocks in place
// leaves the transposition no shuffle across blocks, the dear ones.
template <typename DU>
hn::Vec<DU> gather_blocks(DU du, const std::byte* from, std::ptrdiff_t stride) {
  if constexpr (kLanes<DU> == 4) {
    return hn::LoadU(du, reinterpret_cast<const std::uint32_t*>(from));
  } else {
    const hn::Half<DU> half;
    return hn::Combine(du, gather_blocks(half, from + kLanes<DU> / 2 * stride, stride),
                       gather_blocks(half, from, stride));
  }
}

template <typename V>
struct FourRows {
  V row[4];
};

// Four units from each of as many rows (stride bytes apart) as the vector has lanes, transposed.
template <typename DU>
FourRows<hn::Vec<DU>> transpose(DU du, const std::byte* from, std::ptrdiff_t stride) {
  const hn::Repartition<std::uint64_t, DU> d64;
  const auto r0 = gather_blocks(du, from, stride), r1 = gather_blocks(du, from + stride, stride);
  const auto r2 = gather_blocks(du, from + 2 * stride, stride);
  const auto r3 = gather_blocks(du, from + 3 * stride, stride);
  const auto lower01 = hn::BitCast(d64, hn::InterleaveLower(du, r0, r1));
  const auto lower23 = hn::BitCast(d64, hn::InterleaveLower(du, r2, r3));
  const auto upper01 = hn::BitCast(d64, hn::InterleaveUpper(du, r0, r1));
  const auto upper23 = hn::BitCast(d64, hn::InterleaveUpper(du, r2, r3));
  return {{hn::BitCast(du, hn::InterleaveLower(d64, lower01, lower23)),
           hn::BitCast(du, hn::InterleaveUpper(d64, lower01, lower23)),
           hn::BitCast(du, hn::InterleaveLower(d64, upper01, upper23)),
           hn::BitCast(du, hn::InterleaveUpper(d64, upper01, upper23))}};
}

template <typename D>
std::int64_t pack_transposed(D d, const PackPanels& p, std::int64_t full_cols) {
  const U32<D> du;
  const bool f32 = p.from.dtype == DType::f32;
  const std::int64_t block = f32 ? 4 : 8;
  const std::int64_t whole = p.depth / block * block;
  const std::ptrdiff_t element = f32 ? 4 : 2, stride = p.from.ld * element;
  const std::ptrdiff_t two_rows = (p.format == PanelFormat::f32 ? 2 : 1) * p.width;
  const auto* data = static_cast<const std::byte*>(p.from.data);
  for (std::int64_t j = 0; j < full_cols; j += kLanes<D>) {
    float* to = unit<float>(p, 0, j);
    for (std::int64_t k = 0; k < whole; k += block) {
      const std::byte* from = data + j * stride + k * element;
      if (k * element % 64 == 0) {
        for (int i = 0; i < kLanes<D>; ++i) fetch(from + (kLanes<D> + i) * stride);
      }
      const auto four = transpose(du, from, stride);
      if (f32) {
        put_two(d, p, to, hn::BitCast(d, four.row[0]), hn::BitCast(d, four.row[1]));
        put_two(d, p, to + two_rows, hn::BitCast(d, four.row[2]), hn::BitCast(d, four.row[3]));
        to += 2 * two_rows;
        continue;
      }
      for (int i = 0; i < 4; ++i, to += two_rows) {  // each row holds pairs
        const auto pairs = four.row[i];
        if (p.format == PanelFormat::bf16_pairs) {
          hn::Store(pairs, du, reinterpret_cast<std::uint32_t*>(to));
        } else {
          hn::Store(lower_of<bf16>(d, pairs), d, to);
          hn::Store(upper_of<bf16>(d, pairs), d, to + p.width);
        }
      }
    }
  }
  return whole;
}

template <typename D>
HWY_NOINLINE void pack_with(D d, PackPanels p) {
  const std::int64_t full_cols = p.cols / kLanes<D> * kLanes<D>;
  const std::int64_t padded_cols = (p.cols + kLanes<D> - 1) / kLanes<D> * kLanes<D>;
  const std::int64_t packed =
      p.from.transposed ? pack_transposed(d, p, full_cols) : pack_straight(d, p, full_cols);
  pack_rest(p, packed, 0, full_cols);
  pack_rest(p, 0, full_cols, padded_cols);
}

void pack_panels(const PackPanels& p) {
  if (p.width == 8) {
    pack_with(Eight(), p);
  } else {
    pack_with(Full(), p);
  }
}

template <typename T, int kNr>
void expand_pairs(const std::byte* from, std::int64_t steps, std::byte* to) {
  const Full d;
  const U32<Full> du;
  const auto* pairs = reinterpret_cast<const std::uint32_t*>(from);
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t s = 0; s < steps; ++s, pairs += kNr, out += 2 * kNr) {
    for (int j = 0; j < kNr; j += kLanes<Full>) {
      const auto v = hn::Load(du, pairs + j);
      hn::Store(lower_of<T>(d, v), d, out + j);
      hn::Store(upper_of<T>(d, v), d, out + kNr + j);
    }
  }
}

void round_row(const void* from, DType from_dtype, std::int64_t count, void* to, DType to_dtype) {
  const Full d;
  const auto* floats = static_cast<const float*>(from);
  const auto* halves = static_cast<const bf16*>(from);
  auto* to_floats = static_cast<float*>(to);
  auto* to_halves = static_cast<bf16*>(to);
  const bool widen = from_dtype == DType::bf16;
  std::int64_t i = 0;
  for (; i + kLanes<Full> <= count; i += kLanes<Full>) {
    const auto v = widen ? load_bf16(d, halves + i) : round_to_bf16(d, hn::LoadU(d, floats + i));
    if (to_dtype == DType::bf16) {
      store_bf16(d, v, to_halves + i);
    } else {
      hn::StoreU(v, d, to_floats + i);
    }
  }
  for (; i < count; ++i) {
    const bf16 v = widen ? halves[i] : bf16(floats[i]);
    if (to_dtype == DType::bf16) {
      to_halves[i] = v;
    } else {
      to_floats[i] = static_cast<float>(v);
    }
  }
}

}  // namespace
}  // namespace stepstone::cpu
