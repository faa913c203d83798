// Packing into panels. See gemm_vector-inl.h for how it is included.
#pragma once

#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

// Element by element: what the vector loops leave over.
void pack_rest(const PackPanel& p, std::int64_t k_begin, int col_begin, int col_end) {
  const auto value = [&](std::int64_t k, int j) {
    if (k >= p.depth || j >= p.cols) return 0.0f;
    const float v = load_one(p.from, k, j);
    return p.round ? static_cast<float>(bf16(v)) : v;
  };
  if (p.format == PanelFormat::f32) {
    auto* to = reinterpret_cast<float*>(p.to);
    for (std::int64_t k = k_begin; k < p.depth; ++k) {
      for (int j = col_begin; j < col_end; ++j) to[k * p.width + j] = value(k, j);
    }
    return;
  }
  auto* to = reinterpret_cast<std::uint32_t*>(p.to);
  for (std::int64_t k = k_begin; k < p.depth; k += 2) {
    for (int j = col_begin; j < col_end; ++j) {
      const std::uint32_t lower = bf16(value(k, j)).bits, upper = bf16(value(k + 1, j)).bits;
      to[k / 2 * p.width + j] = lower | upper << 16;
    }
  }
}

// Where a vector of rows k and k + 1, columns j.. of the matrix goes.
template <typename D>
void put_two(D d, const PackPanel& p, std::int64_t k, int j, hn::Vec<D> lower, hn::Vec<D> upper) {
  if (p.round) {
    lower = round_to_bf16(d, lower);
    upper = round_to_bf16(d, upper);
  }
  if (p.format == PanelFormat::f32) {
    float* to = reinterpret_cast<float*>(p.to) + k * p.width + j;
    hn::Store(lower, d, to);
    hn::Store(upper, d, to + p.width);
  } else {
    const U32<D> du;
    std::uint32_t* to = reinterpret_cast<std::uint32_t*>(p.to) + k / 2 * p.width + j;
    hn::Store(pairs_of(d, lower, upper), du, to);
  }
}

template <typename D>
std::int64_t pack_straight(D d, const PackPanel& p, int full_cols) {
  const std::int64_t whole = p.depth / 2 * 2;
  const auto loop = [&](auto load) {
    for (std::int64_t k = 0; k < whole; k += 2) {
      for (int j = 0; j < full_cols; j += kLanes<D>) {
        put_two(d, p, k, j, load(k * p.from.ld + j), load((k + 1) * p.from.ld + j));
      }
    }
  };
  if (p.from.dtype == DType::f32) {
    const auto* data = static_cast<const float*>(p.from.data);
    loop([&](std::int64_t at) { return hn::LoadU(d, data + at); });
  } else {
    const auto* data = static_cast<const std::uint16_t*>(p.from.data);
    loop([&](std::int64_t at) { return load_bf16(d, data + at); });
  }
  return whole;
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
std::int64_t pack_transposed(D d, const PackPanel& p, int full_cols) {
  const U32<D> du;
  const bool f32 = p.from.dtype == DType::f32;
  const std::int64_t block = f32 ? 4 : 8;
  const std::int64_t whole = p.depth / block * block;
  const std::ptrdiff_t element = f32 ? 4 : 2, stride = p.from.ld * element;
  const auto* data = static_cast<const std::byte*>(p.from.data);
  for (int j = 0; j < full_cols; j += kLanes<D>) {
    for (std::int64_t k = 0; k < whole; k += block) {
      const auto four = transpose(du, data + j * stride + k * element, stride);
      if (f32) {
        put_two(d, p, k, j, hn::BitCast(d, four.row[0]), hn::BitCast(d, four.row[1]));
        put_two(d, p, k + 2, j, hn::BitCast(d, four.row[2]), hn::BitCast(d, four.row[3]));
        continue;
      }
      for (int i = 0; i < 4; ++i) {  // each row holds pairs
        const auto pairs = four.row[i];
        if (p.format == PanelFormat::bf16_pairs) {
          hn::Store(pairs, du, reinterpret_cast<std::uint32_t*>(p.to) + (k / 2 + i) * p.width + j);
        } else {
          float* to = reinterpret_cast<float*>(p.to) + (k + 2 * i) * p.width + j;
          hn::Store(lower_of(d, pairs), d, to);
          hn::Store(upper_of(d, pairs), d, to + p.width);
        }
      }
    }
  }
  return whole;
}

template <typename D>
void pack_with(D d, const PackPanel& p) {
  const int full_cols = p.cols / kLanes<D> * kLanes<D>;
  const int padded_cols = (p.cols + kLanes<D> - 1) / kLanes<D> * kLanes<D>;
  const std::int64_t packed =
      p.from.transposed ? pack_transposed(d, p, full_cols) : pack_straight(d, p, full_cols);
  pack_rest(p, packed, 0, full_cols);
  pack_rest(p, 0, full_cols, padded_cols);
}

void pack_panel(const PackPanel& p) {
  if (p.width == 8) {
    pack_with(Eight(), p);
  } else {
    pack_with(Full(), p);
  }
}

template <int kNr>
void expand_pairs(const std::byte* from, std::int64_t steps, std::byte* to) {
  const Full d;
  const U32<Full> du;
  const auto* pairs = reinterpret_cast<const std::uint32_t*>(from);
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t s = 0; s < steps; ++s, pairs += kNr, out += 2 * kNr) {
    for (int j = 0; j < kNr; j += kLanes<Full>) {
      const auto v = hn::Load(du, pairs + j);
      hn::Store(lower_of(d, v), d, out + j);
      hn::Store(upper_of(d, v), d, out + kNr + j);
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
