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
inline constexpr int kBlockMr = 6;
#else
inline constexpr int kBlockMr = 2;
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

template <BlockFormat kFormat, int MR>
void multiply_blocks_tile(const BlockTile& t) {
  constexpr int kHalves = 32 / granularity(kFormat.scales);
  const Full d;
  const Integers di;
  Floats total[MR][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) total[i][v] = hn::Zero(d);
  }
  constexpr std::int64_t kStepBytes = kFormat.bits * 4 * kBlockNr;
  const std::byte* ahead = t.ahead;
  PanelAhead<kFormat> panel_ahead(t);
  for (std::int64_t step = 0; step < t.steps; ++step) {
    const std::int8_t* a = t.a.codes + step * MR * kStep;
    const std::byte* codes = t.codes + step * kStepBytes;
    if constexpr (is_wide(kFormat.scales)) {
      for (int i = 0; i < t.ahead_lines && ahead < t.ahead_end; ++i, ahead += 64) {
        __builtin_prefetch(ahead, 0, 2);
      }
    } else {
      panel_ahead.step();
    }
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      Integer sums[MR][kVectors];
      const std::int64_t at = (step * kHalves + half) * MR;
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        Integer start = hn::Zero(di);
        if constexpr (kFormat.zero_shift >= 0) start = hn::Set(di, t.a.starts[at + i]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[i][v] = start;
      }
      if (kHalves == 1) {
        dot_groups<kFormat, MR, 0, 8>(sums, a, codes);
      } else if (half == 0) {
        dot_groups<kFormat, MR, 0, 4>(sums, a, codes);
      } else {
        dot_groups<kFormat, MR, 4, 8>(sums, a, codes);
      }
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const ScaleMin32 s = scales_of<kFormat.scales>(t.scales, step, half, v);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
          Integer sum = sums[i][v];
          Floats scale = s.scale;
          if constexpr (kFormat.rows == RowScale::row) {
            sum = hn::Shl(sum, hn::Set(di, t.a.shifts[step * MR + i]));
          } else {
            scale = hn::Mul(scale, hn::Set(d, t.a.scales[step * MR + i]));
          }
          total[i][v] = hn::MulAdd(hn::ConvertTo(d, sum), scale, total[i][v]);
          if constexpr (has_min(kFormat.scales)) {
            total[i][v] = hn::MulAdd(s.min, hn::Set(d, t.a.sums[at + i]), total[i][v]);
          }
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

template <BlockFormat kFormat, int MR = kBlockMr>
void multiply_blocks(const BlockTile& t) {
  if constexpr (MR > 1) {
    if (t.rows < MR) return multiply_blocks<kFormat, MR - 1>(t);
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
  return with_block_type(
      type, []<BlockType kType>() -> Multiply { return multiply_blocks<block_format(kType)>; });
}
// Formats that differ in nothing but their codes share a wide kernel.
Multiply wide_kernel(BlockFormat format) {
  switch (format.zero_shift) {
    case 2:
      return multiply_blocks<widened(block_format(BlockType::q3_k))>;
    case 3:
      return multiply_blocks<widened(block_format(BlockType::q4_0))>;
    case 4:
      return multiply_blocks<widened(block_format(BlockType::q5_0))>;
    case 5:
      return multiply_blocks<widened(block_format(BlockType::q6_k))>;
    case 7:
      return format.rows == RowScale::block
                 ? multiply_blocks<widened(block_format(BlockType::q8_0))>
                 : multiply_blocks<widened(block_format(BlockType::iq4_nl))>;
    default:
      return granularity(format.scales) == 16
                 ? multiply_blocks<widened(block_format(BlockType::q2_k))>
                 : multiply_blocks<widened(block_format(BlockType::q4_k))>;
  }
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
  std::int8_t* out = q.codes + step * q.rows * kStep;
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
    q.scales[step * q.rows] = steps.scale;
    put_codes(q, step, x, 1, steps.inverse);
  }
}

void quantize_by_row(const QuantizeRow& q) {
  std::int32_t most = 0;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    const std::int32_t here = largest(load_values(q, step));
    q.shifts[step * q.rows] = here;
    most = std::max(most, here);
  }
  const Steps steps(most);
  // What the totals of shifted sums take. It must be normal too.
  const float scale = steps.scale * (1.0f / (1 << kMaxShift));
  const float inverse = scale > 1.2e-38f ? steps.inverse : 0.0f;
  q.scales[0] = scale;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    std::int32_t& shift = q.shifts[step * q.rows];
    // How often the row's largest can be halved without falling below that of these 32.
    const int halved = std::min((most - shift) >> 23, kMaxShift);
    shift = kMaxShift - halved;
    put_codes(q, step, load_values(q, step), static_cast<float>(1 << halved), inverse);
  }
}

void quantize_row(const QuantizeRow& q) { q.shifts ? quantize_by_row(q) : quantize_by_block(q); }

constexpr BlockKernels kBlockKernels = {kBlockMr,    kBlockNr,      direct_kernel,
                                        wide_kernel, expand_kernel, quantize_row};

}  // namespace
}  // namespace stepstone::cpu
