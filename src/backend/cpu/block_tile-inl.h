// The micro-kernels for quantised weights. Included by one file per instruction set, which brings
// dot4(): see gemm_vector-inl.h.
//
// Shape. kMr × 2 vectors of integer sums and as many of f32 fill the register file but for two
// vectors of B and one broadcast of A. Per 32 k a pair (row, vector) costs 8 dot products and an
// FMA, and another for a minimum, on the two pipes that multiply; shifts and conversions have pipes
// of their own on Zen 4. So 80 to 89 % of the dot products' peak can be had.
#pragma once

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"
#include "quant/blocks.h"

namespace stepstone::cpu {
namespace {

#if HWY_TARGET == HWY_AVX3
inline constexpr int kTileRows = 6, kSuperTileRows = 4;
#else
inline constexpr int kTileRows = 2, kSuperTileRows = 2;
#endif
inline constexpr int kVectors = 2;
inline constexpr int kBlockNr = kVectors * kLanes<Full>;

using Floats = hn::Vec<Full>;
using Units = U32<Full>;
using Unit = hn::Vec<Units>;
using Integers = hn::Repartition<std::int32_t, Full>;
using Integer = hn::Vec<Integers>;

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
HWY_INLINE Unit nibbles(const std::byte* codes, int v) {
  return mask_bytes(moved < g < 4 ? 0 : 4, 0 > (load_unit(codes, g % 4, v)), 0x0f);
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
    return hn::BitCast(Units(), hn::TableLookupBytes(table, hn::BitCast(d8, nibbles<g>(codes, v))));
  } else if constexpr (kBits == 4) {
    return nibbles<g>(codes, v);
  } else if constexpr (kBits == 5) {
    return hn::Or(nibbles<g>(codes, v), mask_bytes(moved<g, 4>(load_unit(codes, 4, v)), 0x10));
  } else if constexpr (kBits == 6) {
    return hn::Or(nibbles<g>(codes, v),
                  mask_bytes(moved<g % 4 * 2, 4>(load_unit(codes, 4 + g / 4, v)), 0x30));
  } else {
    const Unit pairs = mask_bytes(moved<g % 4 * 2, 0>(load_unit(codes, g / 4, v)), 0x03);
    if constexpr (kBits == 2) return pairs;
    return hn::Or(pairs, mask_bytes(moved<g, 2>(load_unit(codes, 2, v)), 0x04));
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

// dot4() of the groups from kBegin to kEnd of a step into sums.
template <BlockFormat kFormat, int MR, int kBegin, int kEnd>
HWY_INLINE void dot_groups(Integer (&sums)[MR][kVectors], const std::int8_t* a,
                           const std::byte* codes) {
  if constexpr (kBegin < kEnd) {
    Unit b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = group<kFormat, kBegin>(codes, v);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      std::int32_t four;
      __builtin_memcpy(&four, a + i * kStep + kBegin * 4, sizeof four);
      const Integer value = hn::Set(Integers(), four);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[i][v] = dot4(sums[i][v], b[v], value);
    }
    dot_groups<kFormat, MR, kBegin + 1, kEnd>(sums, a, codes);
  }
}

// What a kernel that reads panels as they are stored fetches ahead of itself, into L2 (why not into
// L1: docs/decisions/quantised.md): codes and scales of a panel side by side, then the panel behind
// it.
template <BlockFormat kFormat>
class PanelAhead {
 public:
  explicit PanelAhead(const BlockTile& t) : left_(t.steps - kSteps) {
    // Behind the last panel the same lines again: they cost nothing.
    next_codes_ = t.ahead ? t.ahead : t.codes;
    next_scales_ = next_codes_ + (t.scales - t.codes);
    codes_ = t.codes + kSteps * kCodeBytes;
    scales_ = t.scales + kSteps * kScaleBytes;
  }

  // To be called before every step.
  HWY_INLINE void step() {
    if (left_-- == 0) {
      codes_ = next_codes_;
      scales_ = next_scales_;
    }
#pragma GCC unroll 16
    for (std::int64_t at = 0; at < kCodeBytes; at += 64) __builtin_prefetch(codes_ + at, 0, 2);
#pragma GCC unroll 4
    for (std::int64_t at = 0; at < kScaleBytes; at += 64) __builtin_prefetch(scales_ + at, 0, 2);
    codes_ += kCodeBytes;
    scales_ += kScaleBytes;
  }

 private:
  static constexpr std::int64_t kSteps = kFormat.bits == 8 ? 5 : 10;
  static constexpr std::int64_t kCodeBytes = kFormat.code_bytes(1, kBlockNr);
  static constexpr std::int64_t kScaleBytes =
      kFormat.scale_bytes(kSuperSteps, kBlockNr) / kSuperSteps;

  const std::byte *codes_, *scales_, *next_codes_, *next_scales_;
  std::int64_t left_;  // steps until the next panel
};

// Fetches ahead, step by step: what a wide kernel is told to, or a direct one by itself.
template <BlockFormat kFormat>
class Ahead {
 public:
  explicit Ahead(const BlockTile& t) : tile_(t), at_(t.ahead), panel_(t) {}
  HWY_INLINE void step() {
    if constexpr (is_wide(kFormat.scales)) {
      for (int i = 0; i < tile_.ahead_lines && at_ < tile_.ahead_end; ++i, at_ += 64) {
        __builtin_prefetch(at_, 0, 2);
      }
    } else {
      panel_.step();
    }
  }

 private:
  const BlockTile& tile_;
  const std::byte* at_;
  PanelAhead<kFormat> panel_;
};

// Sums of the products under a scale of the weight: of step `step`, or of its half kHalf where a
// scale is for 16 k.
template <BlockFormat kFormat, int MR, int kHalf>
HWY_INLINE void integer_sums(Integer (&sums)[MR][kVectors], const BlockTile& t, std::int64_t step) {
  constexpr int kPerStep = scales_per_step(kFormat);
  constexpr int kGroups = 8 / kPerStep;
  const Integers di;
  const std::int64_t at = (step * kPerStep + kHalf) * MR;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    Integer start = hn::Zero(di);
    if constexpr (kFormat.zero_shift >= 0 || kFormat.rows == RowScale::super) {
      start = hn::Set(di, t.a.starts[at + i]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[i][v] = start;
  }
  dot_groups<kFormat, MR, kHalf * kGroups, (kHalf + 1) * kGroups>(
      sums, t.a.codes + step * MR * kStep, t.codes + step * kFormat.code_bytes(1, kBlockNr));
}

template <BlockFormat kFormat, int MR>
void multiply_tile(const BlockTile& t) {
  const Full d;
  const Integers di;
  Floats total[MR][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) total[i][v] = hn::Zero(d);
  }
  Ahead<kFormat> ahead(t);
  for (std::int64_t step = 0; step < t.steps; ++step) {
    ahead.step();
    Integer sums[MR][kVectors];
    integer_sums<kFormat, MR, 0>(sums, t, step);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const ScaleMin32 s = scales_of<kFormat.scales>(t.scales, step, v);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        Integer sum = sums[i][v];
        Floats scale = s.scale;
        if constexpr (kFormat.rows == RowScale::row) {
          sum = hn::Shl(sum, hn::Set(di, t.a.left[step * MR + i]));
        } else {
          scale = hn::Mul(scale, hn::Set(d, t.a.scales[step * MR + i]));
        }
        total[i][v] = hn::MulAdd(hn::ConvertTo(d, sum), scale, total[i][v]);
        if constexpr (has_min(kFormat.scales)) {
          total[i][v] = hn::MulAdd(s.min, hn::Set(d, t.a.sums[step * MR + i]), total[i][v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Floats sum = total[i][v];
      if constexpr (kFormat.rows == RowScale::row) sum = hn::Mul(sum, hn::Set(d, t.a.scales[i]));
      hn::StoreU(sum, d, t.c + i * t.c_row + v * kLanes<Full>);
    }
  }
}

// Totals, in memory, plus integers times d.
template <int MR, typename D>
HWY_INLINE void add_to(float (&total)[MR][kBlockNr], const Integer (&sums)[MR][kVectors],
                       D&& d_of) {
  const Full d;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const Floats factor = d_of(v);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* to = total[i] + v * kLanes<Full>;
      hn::Store(hn::MulAdd(hn::ConvertTo(d, sums[i][v]), factor, hn::Load(d, to)), d, to);
    }
  }
}

// RowScale::super: a tile of fewer rows, as the sums under two scales and those of the super-block
// are all in registers.
template <BlockFormat kFormat, int MR>
void multiply_super_tile(const BlockTile& t) {
  constexpr int kPairs = super_pairs(kFormat);
  constexpr bool kFine = scales_per_step(kFormat) == 2;
  const Full d;
  const Integers di;
  const hn::Repartition<std::int16_t, Full> d16;
  alignas(64) float total[MR][kBlockNr] = {};
  Ahead<kFormat> ahead(t);
  for (std::int64_t super = 0; super < t.steps / kSuperSteps; ++super) {
    const SuperScales<kFormat> scales(t.scales, super);
    Integer sums[MR][kVectors];
    const auto clear = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::Zero(di);
      }
    };
    if constexpr (has_min(kFormat.scales)) {
      clear();
#pragma GCC unroll 8
      for (int p = 0; p < kPairs; ++p) {
        Integer mins[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) mins[v] = scales.mins(p, v);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
          const Integer row = hn::Set(di, t.a.pairs[(super * kPairs + p) * MR + i]);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) sums[i][v] = dot2(sums[i][v], mins[v], row);
        }
      }
      add_to(total, sums, [&](int v) { return scales.min_d(v); });
    }
    clear();
    for (int p = 0; p < kPairs; ++p) {
      const std::int64_t first = super * kSuperSteps + (kFine ? p : 2 * p);
      const std::int64_t second = kFine ? first : first + 1;
      Integer low[MR][kVectors], high[MR][kVectors];
      ahead.step();
      integer_sums<kFormat, MR, 0>(low, t, first);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const Integer right = hn::Set(di, t.a.right[first * MR + i]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) low[i][v] = hn::Shr(low[i][v], right);
      }
      if constexpr (!kFine) ahead.step();
      integer_sums<kFormat, MR, kFine ? 1 : 0>(high, t, second);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const Integer left = hn::Set(di, t.a.left[second * MR + i]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const auto both =
              hn::OddEven(hn::BitCast(d16, hn::Shl(high[i][v], left)), hn::BitCast(d16, low[i][v]));
          low[i][v] = hn::BitCast(di, both);
        }
      }
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const Integer scale = scales.scales(p, v);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) sums[i][v] = dot2(sums[i][v], low[i][v], scale);
      }
    }
    add_to(total, sums, [&](int v) { return scales.d(v); });
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    const Floats scale = hn::Set(d, t.a.scales[i]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Floats sum = hn::Load(d, total[i] + v * kLanes<Full>);
      hn::StoreU(hn::Mul(sum, scale), d, t.c + i * t.c_row + v * kLanes<Full>);
    }
  }
}

template <BlockFormat kFormat,
          int MR = kFormat.rows == RowScale::super ? kSuperTileRows : kTileRows>
void multiply_blocks(const BlockTile& t) {
  if constexpr (MR > 1) {
    if (t.rows < MR) return multiply_blocks<kFormat, MR - 1>(t);
  }
  if constexpr (kFormat.rows == RowScale::super) {
    multiply_super_tile<kFormat, MR>(t);
  } else {
    multiply_tile<kFormat, MR>(t);
  }
}

template <BlockFormat kFormat>
void expand_codes(const std::byte* panel, std::int64_t steps, std::byte* to) {
  auto* units = reinterpret_cast<std::uint32_t*>(to);
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::byte* codes = panel + step * kFormat.bits * 4 * kBlockNr;
    const auto put = [&]<int g>() __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(group<kFormat, g>(codes, v), Units(), units + g * kBlockNr + v * kLanes<Full>);
      }
    };
    put.template operator()<0>();
    put.template operator()<1>();
    put.template operator()<2>();
    put.template operator()<3>();
    put.template operator()<4>();
    put.template operator()<5>();
    put.template operator()<6>();
    put.template operator()<7>();
    units += 8 * kBlockNr;
  }
}

template <BlockFormat kFormat>
void expand_blocks(const std::byte* panel, std::int64_t steps, std::byte* to) {
  expand_codes<kFormat>(panel, steps, to);
  const std::byte* scales = panel + kFormat.code_bytes(steps, kBlockNr);
  to += widened(kFormat).code_bytes(steps, kBlockNr);
  const auto put = [&](int v, auto value) __attribute__((always_inline)) {
    hn::Store(hn::BitCast(Units(), value), Units(),
              reinterpret_cast<std::uint32_t*>(to) + v * kLanes<Full>);
  };
  const auto put_all = [&](auto&& of) __attribute__((always_inline)) {
    for (int v = 0; v < kVectors; ++v) put(v, of(v));
    to += 4 * kBlockNr;
  };
  constexpr bool kMin = has_min(kFormat.scales);
  if constexpr (kFormat.rows == RowScale::super) {
    for (std::int64_t super = 0; super < steps / kSuperSteps; ++super) {
      const SuperScales<kFormat> s(scales, super);
      put_all([&](int v) { return s.d(v); });
      if constexpr (kMin) put_all([&](int v) { return s.min_d(v); });
      for (int p = 0; p < super_pairs(kFormat); ++p) put_all([&](int v) { return s.scales(p, v); });
      if constexpr (kMin) {
        for (int p = 0; p < super_pairs(kFormat); ++p) put_all([&](int v) { return s.mins(p, v); });
      }
    }
  } else {
    for (std::int64_t step = 0; step < steps; ++step) {
      const auto s = [&](int v) { return scales_of<kFormat.scales>(scales, step, v); };
      put_all([&](int v) { return s(v).scale; });
      if constexpr (kMin) put_all([&](int v) { return s(v).min; });
    }
  }
}

// Calls f with the format as a template argument; with nothing for other types.
template <typename F>
auto with_block_type(BlockType type, F&& f) -> decltype(f.template operator()<BlockType::q8_0>()) {
  switch (type) {
    case BlockType::q8_0:
      return f.template operator()<BlockType::q8_0>();
    case BlockType::q4_0:
      return f.template operator()<BlockType::q4_0>();
    case BlockType::q4_1:
      return f.template operator()<BlockType::q4_1>();
    case BlockType::q5_0:
      return f.template operator()<BlockType::q5_0>();
    case BlockType::q5_1:
      return f.template operator()<BlockType::q5_1>();
    case BlockType::iq4_nl:
      return f.template operator()<BlockType::iq4_nl>();
    case BlockType::mxfp4:
      return f.template operator()<BlockType::mxfp4>();
    case BlockType::q2_k:
      return f.template operator()<BlockType::q2_k>();
    case BlockType::q3_k:
      return f.template operator()<BlockType::q3_k>();
    case BlockType::q4_k:
      return f.template operator()<BlockType::q4_k>();
    case BlockType::q5_k:
      return f.template operator()<BlockType::q5_k>();
    case BlockType::q6_k:
      return f.template operator()<BlockType::q6_k>();
    default:
      return nullptr;
  }
}

using Multiply = void (*)(const BlockTile&);
using Expand = void (*)(const std::byte*, std::int64_t, std::byte*);

Multiply direct_kernel(BlockType type) {
  return with_block_type(
      type, []<BlockType kType>() -> Multiply { return multiply_blocks<block_format(kType)>; });
}
Multiply wide_kernel(BlockType type) {
  return with_block_type(type, []<BlockType kType>() -> Multiply {
    return multiply_blocks<widened(block_format(kType))>;
  });
}
Expand expand_kernel(BlockType type) {
  return with_block_type(
      type, []<BlockType kType>() -> Expand { return expand_blocks<block_format(kType)>; });
}

// 32 values.
struct Values {
  static constexpr int kParts = 32 / kLanes<Full>;
  Floats part[kParts];
};
HWY_INLINE Values load_values(const QuantizeRow& q, std::int64_t step) {
  Values x;
  for (int i = 0; i < Values::kParts; ++i) {
    const std::int64_t at = step * kStep + i * kLanes<Full>;
    x.part[i] = q.dtype == DType::bf16 ? load_bf16(Full(), static_cast<const bf16*>(q.from) + at)
                                       : hn::LoadU(Full(), static_cast<const float*>(q.from) + at);
  }
  return x;
}

// The first of two passes over a row waits for memory: the second fetches what lies behind the row,
// which in most matrices is the next one.
HWY_INLINE void fetch_next_row(const QuantizeRow& q, std::int64_t step) {
  const auto size = static_cast<std::int64_t>(size_of(q.dtype));
  const auto* from = static_cast<const std::byte*>(q.from) + (q.count + step * kStep) * size;
  for (std::int64_t at = 0; at < kStep * size; at += 64) __builtin_prefetch(from + at);
}

// The largest magnitude, as its bits: those are in the numbers' order, infinity and NaN above all.
HWY_INLINE std::int32_t largest(const Values& x) {
  const Integers di;
  Integer most = hn::Zero(di);
  for (const Floats& part : x.part) most = hn::Max(most, hn::BitCast(di, hn::Abs(part)));
  return hn::GetLane(hn::MaxOfLanes(di, most));
}

// 127 codes to the largest, whose bits are given. NaN if that is not finite, so that a row with an
// infinity or a NaN spoils its results and no others.
struct Steps {
  explicit Steps(std::int32_t most)
      : scale(most < 0x7f800000 ? std::bit_cast<float>(most) / 127.0f : __builtin_nanf("")),
        // Below the smallest normal scale 1 / scale overflows: such values count as zero.
        inverse(scale > 1.2e-38f ? 1.0f / scale : 0.0f) {}
  float scale, inverse;
};

// Codes to the nearest even: of x times a power of two, then times `inverse`.
HWY_INLINE void put_codes(const QuantizeRow& q, std::int64_t step, const Values& x, float power,
                          float inverse) {
  const Full d;
  const Integers di;
  const hn::Rebind<std::int8_t, Full> d8;
  std::int8_t* out = q.codes + step * q.stride;
  for (int i = 0; i < Values::kParts; ++i) {
    const Floats scaled = hn::Mul(hn::Mul(x.part[i], hn::Set(d, power)), hn::Set(d, inverse));
    // Of 0 · infinity a code would be left to the instruction set.
    const Integer code = inverse == 0 ? hn::Zero(di) : hn::NearestInt(scaled);
    hn::StoreU(hn::DemoteTo(d8, code), d8, out + i * kLanes<Full>);
  }
  // Sums of 8 bytes without a sign, 128 too much each.
  const hn::CappedTag<std::uint8_t, 16> bytes;
  const hn::Repartition<std::uint64_t, decltype(bytes)> halves;
  for (int i = 0; i < 2; ++i) {
    const auto codes = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(out) + i * 16);
    const auto sums = hn::SumsOf8(hn::Xor(codes, hn::Set(bytes, 0x80)));
    q.sums[step * 2 + i] =
        static_cast<std::int32_t>(hn::GetLane(hn::SumOfLanes(halves, sums))) - 16 * 128;
  }
}

void quantize_by_block(const QuantizeRow& q) {
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    const Values x = load_values(q, step);
    const Steps steps(largest(x));
    q.scales[step] = steps.scale;
    put_codes(q, step, x, 1, steps.inverse);
  }
}

void quantize_by_row(const QuantizeRow& q) {
  std::int32_t most = 0;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    q.halved[step] = largest(load_values(q, step));
    most = std::max(most, q.halved[step]);
  }
  const Steps steps(most);
  q.scales[0] = steps.scale;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    // How often the row's largest can be halved without falling below that of these 32.
    q.halved[step] = std::min((most - q.halved[step]) >> 23, kMaxShift);
    fetch_next_row(q, step);
    put_codes(q, step, load_values(q, step), static_cast<float>(1 << q.halved[step]),
              steps.inverse);
  }
}

void quantize_row(const QuantizeRow& q) { q.halved ? quantize_by_row(q) : quantize_by_block(q); }

constexpr BlockKernels kBlockKernels = {kTileRows,   kSuperTileRows, kBlockNr,    direct_kernel,
                                        wide_kernel, expand_kernel,  quantize_row};

}  // namespace
}  // namespace stepstone::cpu
