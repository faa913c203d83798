// Quantised weights as panels: what the block types of quant/blocks.h become in memory.
//
// A panel holds `nr` columns of B (rows of the weight): codes and scales. The codes of all panels
// lie one behind the other, then the scales of all, and a kernel asks for lines in rising order:
// the processor reads ahead by itself, and begins anew after a gap (docs/decisions/quantised.md).
// Codes come in steps of 32 k: chunks of nr 32-bit units, one unit per column. Group g < 8 of a
// step is the four codes of k = 4g … 4g + 3 of each column, byte by byte:
//   8 bits   chunk g is group g
//   nibbles  4 chunks: group g is in the low (g < 4) or high nibbles of chunk g % 4
//   pairs    2 chunks: bits 2(g % 4), 2(g % 4) + 1 of the bytes of chunk g / 4
//   bits     1 chunk: bit g of its bytes
// Codes of 3 bits are upper bits and then pairs, of 5 bits upper bits and then nibbles, of 6 bits
// nibbles between the two chunks of their upper pairs. So a format takes as many bytes as in the
// file, but for the 6-bit scales of Q3_K, Q4_K and Q5_K, which become bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block_type.h"

namespace stepstone::cpu {

inline constexpr int kStep = 32;       // k
inline constexpr int kSuperSteps = 8;  // of a super-block

// How the scales of a panel lie, in units of nr entries. x = scale (q - zero) [+ min]. Those of a
// super-block (8 steps) come in pairs of neighbours in k, side by side in each column; x is
// d scale (q - zero) [- dmin min].
enum class ScaleKind : std::uint8_t {
  half,         // step: f16 scale
  half_min,     // step: f16 scale, f16 min
  single,       // step: f32 scale
  super_min,    // 8 steps: f16 d, f16 dmin, 4 × (2 × u8 scale), 4 × (2 × u8 min)
  super16,      // 8 steps: f16 d, 8 × (2 × i8 scale), each for 16 k
  super16_min,  // 8 steps: f16 d, f16 dmin, 8 × (2 × u8: scale in the low nibble, min in the high)
  // 8-bit codes in the cache, for products tall enough to pay for expanding a panel once:
  wide,            // step: f32 scale
  wide_min,        // step: f32 scale, f32 min
  wide_super_min,  // 8 steps: f32 d, f32 min_unit · dmin, 4 × (2 × i16 scale), 4 × (2 × i16 min)
  wide_super16,    // 8 steps: f32 d, 8 × (2 × i16 scale)
  wide_super16_min,  // 8 steps: f32 d, f32 min_unit · dmin, 8 × (2 × i16 scale), 8 × (2 × i16 min)
};

constexpr bool is_wide(ScaleKind s) { return s >= ScaleKind::wide; }
// Values under one scale.
constexpr int granularity(ScaleKind s) {
  return s == ScaleKind::super16 || s == ScaleKind::super16_min || s == ScaleKind::wide_super16 ||
                 s == ScaleKind::wide_super16_min
             ? 16
             : 32;
}
constexpr bool has_min(ScaleKind s) {
  return s == ScaleKind::half_min || s == ScaleKind::super_min || s == ScaleKind::super16_min ||
         s == ScaleKind::wide_min || s == ScaleKind::wide_super_min ||
         s == ScaleKind::wide_super16_min;
}
constexpr ScaleKind widened(ScaleKind s) {
  switch (s) {
    case ScaleKind::super_min:
      return ScaleKind::wide_super_min;
    case ScaleKind::super16:
      return ScaleKind::wide_super16;
    case ScaleKind::super16_min:
      return ScaleKind::wide_super16_min;
    default:
      return has_min(s) ? ScaleKind::wide_min : ScaleKind::wide;
  }
}

enum class Codebook : std::uint8_t { none, iq4_nl, mxfp4 };

// How a row of A becomes int8, and what becomes of the integer sums under a scale of the weight.
//
// block: 127 codes to the largest of every 32, an f32 scale each. Sums are multiplied by both
// scales in f32.
//
// row: one f32 scale for the row, halved as often as every 32 allow, at most kMaxShift times, so
// that codes are up to twice as coarse. Sums are shifted left as often as the scale was not halved,
// and multiplied by the weight's scale in f32.
//
// super: codes as in row. Sums are shifted right to 16 bits in the row's unit, where those of small
// values beside an outlier lose what is below it, and multiplied by the weight's scale in integers;
// f32 takes over once in a super-block.
//
// Each needs fewer multiplications beside the dot products than the one before it.
enum class RowScale : std::uint8_t { block, row, super };
// |Σ (q - zero) a| <= 128 · 127 · 32 < 2^31 >> kMaxShift.
inline constexpr int kMaxShift = 12;

struct BlockFormat {
  int bits = 0;  // 0: not a quantised type
  ScaleKind scales = ScaleKind::half;
  int zero_shift = -1;  // zero = 1 << zero_shift; -1: zero is 0
  Codebook codebook = Codebook::none;
  RowScale rows = RowScale::row;
  int sum_shift = 0;  // super: |Σ (q - zero) a| >> sum_shift takes 16 bits

  constexpr int zero() const { return zero_shift < 0 ? 0 : 1 << zero_shift; }
  // Super: the sums of a row's codes, for the minimum, keep so many bits behind the point, and are
  // 16 bits then.
  constexpr int min_fraction() const { return granularity(scales) == 16 ? 4 : 3; }
  // Of products with those, in the unit of the other sums.
  constexpr float min_unit() const {
    return -1.0f / static_cast<float>(1 << (min_fraction() + sum_shift));
  }
  // Codes and scales of one panel of `steps` steps. Steps of super-blocks come in eights.
  constexpr std::int64_t code_bytes(std::int64_t steps, int nr) const {
    return steps * bits * 4 * nr;
  }
  constexpr std::int64_t scale_bytes(std::int64_t steps, int nr) const {
    switch (scales) {
      case ScaleKind::half:
        return steps * 2 * nr;
      case ScaleKind::half_min:
      case ScaleKind::single:
      case ScaleKind::wide:
        return steps * 4 * nr;
      case ScaleKind::wide_min:
        return steps * 8 * nr;
      case ScaleKind::super16:
        return steps / kSuperSteps * 18 * nr;
      case ScaleKind::super_min:
      case ScaleKind::super16_min:
        return steps / kSuperSteps * 20 * nr;
      case ScaleKind::wide_super_min:
        return steps / kSuperSteps * 40 * nr;
      case ScaleKind::wide_super16:
        return steps / kSuperSteps * 36 * nr;
      case ScaleKind::wide_super16_min:
        return steps / kSuperSteps * 72 * nr;
    }
    return 0;
  }
  constexpr std::int64_t panel_bytes(std::int64_t steps, int nr) const {
    return code_bytes(steps, nr) + scale_bytes(steps, nr);
  }
};

struct BlockPanel {
  std::byte* codes = nullptr;
  std::byte* scales = nullptr;
};

constexpr BlockFormat block_format(BlockType type) {
  switch (type) {
    case BlockType::q8_0:
      return {8, ScaleKind::half, 7, Codebook::none, RowScale::block};
    case BlockType::q4_0:
      return {4, ScaleKind::half, 3};
    case BlockType::q4_1:
      return {4, ScaleKind::half_min};
    case BlockType::q5_0:
      return {5, ScaleKind::half, 4};
    case BlockType::q5_1:
      return {5, ScaleKind::half_min};
    case BlockType::iq4_nl:
      return {4, ScaleKind::half, 7, Codebook::iq4_nl};
    case BlockType::mxfp4:
      return {4, ScaleKind::single, 4, Codebook::mxfp4};
    case BlockType::q2_k:
      return {2, ScaleKind::super16_min, -1, Codebook::none, RowScale::super, 0};
    case BlockType::q3_k:
      return {3, ScaleKind::super16, 2, Codebook::none, RowScale::super, 0};
    case BlockType::q4_k:
      return {4, ScaleKind::super_min, -1, Codebook::none, RowScale::super, 1};
    case BlockType::q5_k:
      return {5, ScaleKind::super_min, -1, Codebook::none, RowScale::super, 2};
    case BlockType::q6_k:
      return {6, ScaleKind::super16, 5, Codebook::none, RowScale::super, 1};
    default:
      return {};
  }
}

constexpr int scales_per_step(const BlockFormat& f) { return kStep / granularity(f.scales); }
// Pairs of scales in a super-block.
constexpr int super_pairs(const BlockFormat& f) { return kSuperSteps * scales_per_step(f) / 2; }

// The same values once expanded: codes of 8 bits.
constexpr BlockFormat widened(BlockFormat f) {
  return {8, widened(f.scales), f.zero_shift, Codebook::none, f.rows, f.sum_shift};
}

}  // namespace stepstone::cpu
