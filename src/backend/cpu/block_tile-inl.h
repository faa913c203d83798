// The micro-kernels for quantised weights. Included by one file per instruction set, which brings
// dot4(): see gemm_vector-inl.h.
//
// Shape. kMr × 2 vectors of integer sums and as many of f32 fill the register file but for two
// vectors of B and one broadcast of A. Per 32 k a pair (row, vector) costs 8 dot products, one
// conversion, one product and one FMA: at two of these a cycle 73 % of the dot products' peak.
#pragma once

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"
#include "quant/blocks.h"

namespace stepstone::cpu {
namespace {

#if HWY_TARGET == HWY_AVX3
inline constexpr int kRegisterRows = 6, kBlockMr = 12;
#else
inline constexpr int kRegisterRows = 2, kBlockMr = 2;
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
template <typename T>
HWY_INLINE Floats load_small(const std::byte* from) {
  const hn::Rebind<T, Full> d8;
  const Integers di;
  return hn::ConvertTo(Full(), hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const T*>(from))));
}
HWY_INLINE Floats load_float(const std::byte* from) {
  return hn::Load(Full(), reinterpret_cast<const float*>(from));
}

// Of half `half` (where a scale holds for 16 k) of step `step` of a panel, whose scales begin at
// `from`.
template <ScaleKind kKind>
HWY_INLINE ScaleMin32 scales_of(const std::byte* from, std::int64_t step, int half, int v) {
  constexpr int nr = kBlockNr;
  const Full d;
  const int at = v * kLanes<Full>;
  const std::int64_t block = step / kSuperSteps;
  const int in_block = static_cast<int>(step % kSuperSteps);
  if constexpr (kKind == ScaleKind::half) {
    return {load_half(from + (step * nr + at) * 2), hn::Zero(d)};
  } else if constexpr (kKind == ScaleKind::half_min) {
    const std::byte* p = from + (step * 2 * nr + at) * 2;
    return {load_half(p), load_half(p + nr * 2)};
  } else if constexpr (kKind == ScaleKind::single || kKind == ScaleKind::wide) {
    return {load_float(from + (step * nr + at) * 4), hn::Zero(d)};
  } else if constexpr (kKind == ScaleKind::wide_min) {
    const std::byte* p = from + (step * 2 * nr + at) * 4;
    return {load_float(p), load_float(p + nr * 4)};
  } else if constexpr (kKind == ScaleKind::wide16) {
    return {load_float(from + ((step * 2 + half) * nr + at) * 4), hn::Zero(d)};
  } else if constexpr (kKind == ScaleKind::wide16_min) {
    const std::byte* p = from + ((step * 2 + half) * 2 * nr + at) * 4;
    return {load_float(p), load_float(p + nr * 4)};
  } else if constexpr (kKind == ScaleKind::super16) {
    const std::byte* p = from + block * 18 * nr;
    const Floats scale = load_small<std::int8_t>(p + (2 + in_block * 2 + half) * nr + at);
    return {hn::Mul(load_half(p + at * 2), scale), hn::Zero(d)};
  } else if constexpr (kKind == ScaleKind::super16_min) {
    const std::byte* p = from + block * 20 * nr;
    const hn::Rebind<std::uint8_t, Full> d8;
    const Integers di;
    const auto both = hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(p) +
                                                          (4 + in_block * 2 + half) * nr + at));
    const Floats scale = hn::ConvertTo(d, hn::And(both, hn::Set(di, 15)));
    const Floats min = hn::ConvertTo(d, hn::ShiftRight<4>(both));
    return {hn::Mul(load_half(p + at * 2), scale),
            hn::Neg(hn::Mul(load_half(p + (nr + at) * 2), min))};
  } else {
    static_assert(kKind == ScaleKind::super_min);
    const std::byte* p = from + block * 20 * nr;
    const std::byte* bytes = p + (4 + in_block * 2) * nr + at;
    return {hn::Mul(load_half(p + at * 2), load_small<std::uint8_t>(bytes)),
            hn::Neg(hn::Mul(load_half(p + (nr + at) * 2), load_small<std::uint8_t>(bytes + nr)))};
  }
}

// dot4() of the groups from kBegin to kEnd of a step into sums.
template <BlockFormat kFormat, int MR, int kBegin, int kEnd>
HWY_INLINE void dot_groups(Integer (&sums)[MR][kVectors], const std::int8_t* const* a,
                           std::int64_t at, const std::byte* codes) {
  if constexpr (kBegin < kEnd) {
    Unit b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = group<kFormat, kBegin>(codes, v);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      std::int32_t four;
      __builtin_memcpy(&four, a[i] + at + kBegin * 4, sizeof four);
      const Integer value = hn::Set(Integers(), four);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[i][v] = dot4(sums[i][v], b[v], value);
    }
    dot_groups<kFormat, MR, kBegin + 1, kEnd>(sums, a, at, codes);
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

// Sums in f32 of a tile: in registers, or in memory where there are too many.
template <int MR>
class Totals {
 public:
  HWY_INLINE Floats get(int i, int v) const {
    if constexpr (kInMemory) return hn::Load(Full(), memory_ + (i * kVectors + v) * kLanes<Full>);
    return registers_[i][v];
  }
  HWY_INLINE void set(int i, int v, Floats x) {
    if constexpr (kInMemory) {
      hn::Store(x, Full(), memory_ + (i * kVectors + v) * kLanes<Full>);
    } else {
      registers_[i][v] = x;
    }
  }

 private:
  static constexpr bool kInMemory = MR > kRegisterRows;
  Floats registers_[kInMemory ? 1 : MR][kVectors];
  alignas(64) float memory_[kInMemory ? MR * kBlockNr : 1];
};

template <BlockFormat kFormat, int MR>
void multiply_blocks_tile(const BlockTile& t) {
  constexpr int kHalves = 32 / granularity(kFormat.scales);
  const Full d;
  const Integers di;
  Totals<MR> total;
  const std::int8_t* a[MR];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    a[i] = t.a.codes + i * t.a.codes_row;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) total.set(i, v, hn::Zero(d));
  }
  constexpr std::int64_t kStepBytes = kFormat.bits * 4 * kBlockNr;
  const std::byte* ahead = t.ahead;
  PanelAhead<kFormat> panel_ahead(t);
  for (std::int64_t step = 0; step < t.steps; ++step) {
    const std::byte* codes = t.codes + step * kStepBytes;
    if constexpr (is_wide(kFormat.scales)) {
      for (int line = 0; line < t.ahead_lines; ++line, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    } else {
      panel_ahead.step();
    }
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      Integer sums[MR][kVectors];
      const std::int64_t at = step * kHalves + half;
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        Integer start = hn::Zero(di);
        if constexpr (kFormat.zero_shift >= 0) {
          start = hn::ShiftLeft<(kFormat.zero_shift < 0 ? 0 : kFormat.zero_shift)>(
              hn::Set(di, t.a.negative_sums[i * t.a.sums_row + at]));
        }
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[i][v] = start;
      }
      if (kHalves == 1) {
        dot_groups<kFormat, MR, 0, 8>(sums, a, step * kStep, codes);
      } else if (half == 0) {
        dot_groups<kFormat, MR, 0, 4>(sums, a, step * kStep, codes);
      } else {
        dot_groups<kFormat, MR, 4, 8>(sums, a, step * kStep, codes);
      }
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const ScaleMin32 s = scales_of<kFormat.scales>(t.scales, step, half, v);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
          const Floats row = hn::Set(d, t.a.scales[i * t.a.scales_row + step]);
          Floats sum =
              hn::MulAdd(hn::ConvertTo(d, sums[i][v]), hn::Mul(s.scale, row), total.get(i, v));
          if constexpr (has_min(kFormat.scales)) {
            sum = hn::MulAdd(s.min, hn::Set(d, t.a.scaled_sums[i * t.a.sums_row + at]), sum);
          }
          total.set(i, v, sum);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(total.get(i, v), d, t.c + i * t.c_row + v * kLanes<Full>);
    }
  }
}

// t.rows is 1 to kRegisterRows, or kMr.
template <BlockFormat kFormat, int kMr, int MR = kRegisterRows>
void multiply_blocks(const BlockTile& t) {
  if constexpr (kMr > kRegisterRows && MR == kRegisterRows) {
    if (t.rows == kMr) return multiply_blocks_tile<kFormat, kMr>(t);
  }
  if constexpr (MR > 1) {
    if (t.rows < MR) return multiply_blocks<kFormat, kMr, MR - 1>(t);
  }
  multiply_blocks_tile<kFormat, MR>(t);
}

template <BlockFormat kFormat>
void expand_blocks(const std::byte* panel, std::int64_t steps, std::byte* to) {
  constexpr BlockFormat kWide = widened(kFormat);
  constexpr int kHalves = 32 / granularity(kFormat.scales);
  const std::byte* scales = panel + kFormat.code_bytes(steps, kBlockNr);
  auto* units = reinterpret_cast<std::uint32_t*>(to);
  auto* floats = reinterpret_cast<float*>(to + kWide.code_bytes(steps, kBlockNr));
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
    for (int half = 0; half < kHalves; ++half) {
      for (int v = 0; v < kVectors; ++v) {
        const ScaleMin32 s = scales_of<kFormat.scales>(scales, step, half, v);
        hn::Store(s.scale, Full(), floats + v * kLanes<Full>);
        if (has_min(kFormat.scales)) {
          hn::Store(s.min, Full(), floats + kBlockNr + v * kLanes<Full>);
        }
      }
      floats += (has_min(kFormat.scales) ? 2 : 1) * kBlockNr;
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
  return with_block_type(type, []<BlockType kType>() -> Multiply {
    return multiply_blocks<block_format(kType), kRegisterRows>;
  });
}
// Formats that differ in nothing but their codes share a wide kernel.
Multiply wide_kernel(BlockFormat format) {
  switch (format.zero_shift) {
    case 2:
      return multiply_blocks<widened(block_format(BlockType::q3_k)), kBlockMr>;
    case 3:
      return multiply_blocks<widened(block_format(BlockType::q4_0)), kBlockMr>;
    case 4:
      return multiply_blocks<widened(block_format(BlockType::q5_0)), kBlockMr>;
    case 5:
      return multiply_blocks<widened(block_format(BlockType::q6_k)), kBlockMr>;
    case 7:
      return multiply_blocks<widened(block_format(BlockType::q8_0)), kBlockMr>;
    default:
      return granularity(format.scales) == 16
                 ? multiply_blocks<widened(block_format(BlockType::q2_k)), kBlockMr>
                 : multiply_blocks<widened(block_format(BlockType::q4_k)), kBlockMr>;
  }
}
Expand expand_kernel(BlockType type) {
  return with_block_type(
      type, []<BlockType kType>() -> Expand { return expand_blocks<block_format(kType)>; });
}

// Scale amax / 127, codes to the nearest even. A row with an infinity or a NaN gets NaN for a
// scale, so that it spoils its results and no others.
void quantize_row(const QuantizeRow& q) {
  const Full d;
  const Integers di;
  constexpr int kParts = 32 / kLanes<Full>;
  for (std::int64_t block = 0; block < q.count / 32; ++block) {
    Floats x[kParts];
    Floats most = hn::Zero(d);
    auto finite = hn::Eq(most, most);
    for (int i = 0; i < kParts; ++i) {
      const std::int64_t at = block * 32 + i * kLanes<Full>;
      x[i] = q.dtype == DType::bf16 ? load_bf16(d, static_cast<const bf16*>(q.from) + at)
                                    : hn::LoadU(d, static_cast<const float*>(q.from) + at);
      finite = hn::And(finite, hn::Eq(hn::Sub(x[i], x[i]), hn::Zero(d)));
      most = hn::Max(most, hn::Abs(x[i]));
    }
    const float amax = hn::GetLane(hn::MaxOfLanes(d, most));
    const bool usable = hn::AllTrue(d, finite);
    const float scale = usable ? amax / 127.0f : __builtin_nanf("");
    // Below the smallest normal scale 127 / amax overflows: such a block counts as zero.
    const Floats inverse = hn::Set(d, usable && scale > 1.2e-38f ? 1.0f / scale : 0.0f);
    std::int32_t sums[2] = {0, 0};
    std::int8_t* out = q.codes + block * 32;
    for (int i = 0; i < kParts; ++i) {
      const Integer code = usable ? hn::NearestInt(hn::Mul(x[i], inverse)) : hn::Zero(di);
      const hn::Rebind<std::int8_t, Full> d8;
      hn::StoreU(hn::DemoteTo(d8, code), d8, out + i * kLanes<Full>);
      sums[i * kLanes<Full> / 16] += hn::GetLane(hn::SumOfLanes(di, code));
    }
    q.scales[block] = scale;
    if (q.negative_sums16) {
      q.negative_sums16[block * 2] = -sums[0];
      q.negative_sums16[block * 2 + 1] = -sums[1];
    }
    if (q.negative_sums32) q.negative_sums32[block] = -(sums[0] + sums[1]);
    if (q.scaled_sums16) {
      q.scaled_sums16[block * 2] = scale * static_cast<float>(sums[0]);
      q.scaled_sums16[block * 2 + 1] = scale * static_cast<float>(sums[1]);
    }
    if (q.scaled_sums32) q.scaled_sums32[block] = scale * static_cast<float>(sums[0] + sums[1]);
  }
}

constexpr BlockKernels kBlockKernels = {kRegisterRows, kBlockMr,      kBlockNr,    direct_kernel,
                                        wide_kernel,   expand_kernel, quantize_row};

}  // namespace
}  // namespace stepstone::cpu
