// The micro-kernels for quantised weights. Included by one file per instruction set, which brings
// dot4() and dot2(): see gemm_vector-inl.h.
//
// Shape. kTileRows × 2 vectors of integer sums and as many of f32 fill the register file but for
// two vectors of B and one broadcast of A. What that costs, and which share of the dot products'
// peak is left: docs/decisions/quantised.md.
#pragma once

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/block_quantize-inl.h"
#include "backend/cpu/block_read-inl.h"

namespace stepstone::cpu {
namespace {

#if HWY_TARGET == HWY_AVX3
inline constexpr int kTileRows = 6, kSuperTileRows = 4;
#else
inline constexpr int kTileRows = 2, kSuperTileRows = 2;
#endif

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

// What a kernel that reads panels as they are stored fetches ahead of itself: codes into L2, scales
// into L1. Behind a panel comes the next one's beginning. How far: docs/decisions/quantised.md.
template <BlockFormat kFormat>
class PanelAhead {
 public:
  explicit PanelAhead(const BlockTile& t)
      : codes_(t.codes + t.steps_ahead * kCodeBytes),
        scales_(t.scales + kScaleSteps * kScaleBytes) {}

  // To be called before every step.
  HWY_INLINE void step() {
#pragma GCC unroll 16
    for (std::int64_t at = 0; at < kCodeBytes; at += 64) __builtin_prefetch(codes_ + at, 0, 2);
#pragma GCC unroll 4
    for (std::int64_t at = 0; at < kScaleBytes; at += 64) __builtin_prefetch(scales_ + at, 0, 3);
    codes_ += kCodeBytes;
    scales_ += kScaleBytes;
  }

 private:
  static constexpr std::int64_t kScaleSteps = 3;
  static constexpr std::int64_t kCodeBytes = kFormat.code_bytes(1, kBlockNr);
  static constexpr std::int64_t kScaleBytes =
      kFormat.scale_bytes(kSuperSteps, kBlockNr) / kSuperSteps;

  const std::byte *codes_, *scales_;
};

// What a wide kernel fetches ahead: so many lines before every step, to the end of a panel.
class LinesAhead {
 public:
  explicit LinesAhead(const BlockTile& t)
      : at_(t.ahead), end_(t.ahead_end), lines_(t.ahead_lines) {}
  HWY_INLINE void step() {
    for (int i = 0; i < lines_ && at_ < end_; ++i, at_ += 64) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const std::byte *at_, *end_;
  int lines_;
};

template <BlockFormat kFormat>
using Ahead = std::conditional_t<is_wide(kFormat.scales), LinesAhead, PanelAhead<kFormat>>;

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
void expand_codes(const std::byte* from, std::int64_t steps, std::byte* to) {
  auto* units = reinterpret_cast<std::uint32_t*>(to);
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::byte* codes = from + kFormat.code_bytes(step, kBlockNr);
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
void expand_blocks(const BlockPanel& panel, std::int64_t steps, const BlockPanel& expanded) {
  expand_codes<kFormat>(panel.codes, steps, expanded.codes);
  std::byte* to = expanded.scales;
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
      const SuperScales<kFormat> s(panel.scales, super);
      put_all([&](int v) { return s.d(v); });
      if constexpr (kMin) put_all([&](int v) { return s.min_d(v); });
      for (int p = 0; p < super_pairs(kFormat); ++p) put_all([&](int v) { return s.scales(p, v); });
      if constexpr (kMin) {
        for (int p = 0; p < super_pairs(kFormat); ++p) put_all([&](int v) { return s.mins(p, v); });
      }
    }
  } else {
    for (std::int64_t step = 0; step < steps; ++step) {
      const auto s = [&](int v) { return scales_of<kFormat.scales>(panel.scales, step, v); };
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
using Expand = void (*)(const BlockPanel&, std::int64_t, const BlockPanel&);

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

constexpr BlockKernels kBlockKernels = {kTileRows,   kSuperTileRows, kBlockNr,    direct_kernel,
                                        wide_kernel, expand_kernel,  quantize_row};

}  // namespace
}  // namespace stepstone::cpu
