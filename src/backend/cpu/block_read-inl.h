// How the kernels for quantised weights read a panel: its codes as bytes, its scales. The layout is
// in block_format.h. Included by one file per instruction set: see gemm_vector-inl.h.
#pragma once

#include <array>
#include <type_traits>

#include "backend/cpu/block_format.h"
#include "backend/cpu/gemm_vector-inl.h"
#include "quant/blocks.h"

namespace stepstone::cpu {
namespace {

inline constexpr int kVectors = 2;
inline constexpr int kBlockNr = kVectors * kLanes<Full>;

HWY_INLINE Unit load_unit(const std::byte* codes, int chunk, int v) {
  return hn::Load(
      Units(), reinterpret_cast<const std::uint32_t*>(codes) + chunk * kBlockNr + v * kLanes<Full>);
}
HWY_INLINE Unit mask_bytes(Unit x, std::uint32_t byte) {
  return hn::And(x, hn::Set(Units(), byte * 0x01010101u));
}

// Bits `at` … of the bytes of x to bits `to` …, all others as they fall.
template <int at, int to>
HWY_INLINE Unit moved(Unit x) {
  if constexpr (at > to) return hn::ShiftRight<at - to>(x);
  if constexpr (at < to) return hn::ShiftLeft<to - at>(x);
  return x;
}

template <int g>
HWY_INLINE Unit nibbles(const std::byte* codes, int first, int v) {
  return mask_bytes(moved < g < 4 ? 0 : 4, 0 > (load_unit(codes, first + g % 4, v)), 0x0f);
}

// Group g of a step, as bytes.
template <BlockFormat kFormat, int g>
HWY_INLINE Unit group(const std::byte* codes, int v) {
  constexpr int kBits = kFormat.bits;
  if constexpr (kBits == 8) {
    return load_unit(codes, g, v);
  } else if constexpr (kFormat.codebook != Codebook::none) {
    alignas(16) static constexpr auto kTable = [] {
      std::array<std::uint8_t, 16> t{};
      for (std::size_t i = 0; i < 16; ++i) {
        t[i] = static_cast<std::uint8_t>(kFormat.zero() + (kFormat.codebook == Codebook::iq4_nl
                                                               ? kCodebookIq4[i]
                                                               : kCodebookMxfp4[i]));
      }
      return t;
    }();
    const hn::Repartition<std::uint8_t, Full> d8;
    const auto table = hn::LoadDup128(d8, kTable.data());
    return hn::BitCast(Units(),
                       hn::TableLookupBytes(table, hn::BitCast(d8, nibbles<g>(codes, 0, v))));
  } else if constexpr (kBits == 4) {
    return nibbles<g>(codes, 0, v);
  } else if constexpr (kBits == 5) {
    return hn::Or(nibbles<g>(codes, 1, v), mask_bytes(moved<g, 4>(load_unit(codes, 0, v)), 0x10));
  } else if constexpr (kBits == 6) {
    return hn::Or(nibbles<g>(codes, 1, v),
                  mask_bytes(moved<g % 4 * 2, 4>(load_unit(codes, g < 4 ? 0 : 5, v)), 0x30));
  } else {
    constexpr int kFirst = kBits == 2 ? 0 : 1;
    const Unit pairs = mask_bytes(moved<g % 4 * 2, 0>(load_unit(codes, kFirst + g / 4, v)), 0x03);
    if constexpr (kBits == 2) return pairs;
    return hn::Or(pairs, mask_bytes(moved<g, 2>(load_unit(codes, 0, v)), 0x04));
  }
}

struct ScaleMin32 {
  Floats scale, min;
};

HWY_INLINE Floats load_half(const std::byte* from) {
  const hn::Rebind<hwy::float16_t, Full> d16;
  return hn::PromoteTo(Full(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
}
HWY_INLINE Floats load_float(const std::byte* from) {
  return hn::Load(Full(), reinterpret_cast<const float*>(from));
}

// Of step `step` of a panel, whose scales begin at `from`.
template <ScaleKind kKind>
HWY_INLINE ScaleMin32 scales_of(const std::byte* from, std::int64_t step, int v) {
  constexpr int nr = kBlockNr;
  const Full d;
  const int at = v * kLanes<Full>;
  if constexpr (kKind == ScaleKind::half) {
    return {load_half(from + (step * nr + at) * 2), hn::Zero(d)};
  } else if constexpr (kKind == ScaleKind::half_min) {
    const std::byte* p = from + (step * 2 * nr + at) * 2;
    return {load_half(p), load_half(p + nr * 2)};
  } else if constexpr (kKind == ScaleKind::single || kKind == ScaleKind::wide) {
    return {load_float(from + (step * nr + at) * 4), hn::Zero(d)};
  } else {
    static_assert(kKind == ScaleKind::wide_min);
    const std::byte* p = from + (step * 2 * nr + at) * 4;
    return {load_float(p), load_float(p + nr * 4)};
  }
}

// Scales of super-block `super`, from where the panel's scales begin.
template <BlockFormat kFormat>
class SuperScales {
 public:
  SuperScales(const std::byte* from, std::int64_t super)
      : p_(from + kFormat.scale_bytes(kSuperSteps, kBlockNr) * super) {}

  HWY_INLINE Floats d(int v) const {
    return kWide ? load_float(at(0, 4, v)) : load_half(at(0, 2, v));
  }
  // In the unit that totals have.
  HWY_INLINE Floats min_d(int v) const {
    if constexpr (kWide) return load_float(at(4, 4, v));
    return hn::Mul(load_half(at(2, 2, v)), hn::Set(Full(), kFormat.min_unit()));
  }
  // Two 16-bit integers side by side.
  HWY_INLINE Integer scales(int pair, int v) const {
    if constexpr (kWide) return load_pairs(at(kBehindD + 4 * pair, 4, v));
    if constexpr (kNibbles) {
      return hn::BitCast(Integers(), hn::And(bytes(at(4 + 2 * pair, 2, v)), hn::Set(Shorts(), 15)));
    }
    return hn::BitCast(Integers(), bytes(at(kBehindD + 2 * pair, 2, v)));
  }
  HWY_INLINE Integer mins(int pair, int v) const {
    constexpr int kPairs = super_pairs(kFormat);
    if constexpr (kWide) return load_pairs(at(8 + 4 * (kPairs + pair), 4, v));
    if constexpr (kNibbles) {
      return hn::BitCast(Integers(), hn::ShiftRight<4>(bytes(at(4 + 2 * pair, 2, v))));
    }
    return hn::BitCast(Integers(), bytes(at(4 + 2 * (kPairs + pair), 2, v)));
  }

 private:
  static constexpr bool kWide = is_wide(kFormat.scales), kMin = has_min(kFormat.scales);
  static constexpr bool kNibbles = kFormat.scales == ScaleKind::super16_min;
  static constexpr int kBehindD = (kWide ? 4 : 2) * (kMin ? 2 : 1);
  using Shorts = hn::Repartition<std::int16_t, Full>;

  // Vector v of entries of `size` bytes that begin `rows` · nr bytes behind the super-block.
  HWY_INLINE const std::byte* at(int rows, int size, int v) const {
    return p_ + rows * kBlockNr + v * kLanes<Full> * size;
  }
  static HWY_INLINE Integer load_pairs(const std::byte* from) {
    return hn::Load(Integers(), reinterpret_cast<const std::int32_t*>(from));
  }
  static HWY_INLINE hn::Vec<Shorts> bytes(const std::byte* from) {
    // Scales without a minimum have a sign.
    using Byte = std::conditional_t<kMin, std::uint8_t, std::int8_t>;
    const hn::Rebind<Byte, Shorts> d8;
    return hn::PromoteTo(Shorts(), hn::LoadU(d8, reinterpret_cast<const Byte*>(from)));
  }

  const std::byte* p_;
};

}  // namespace
}  // namespace stepstone::cpu
