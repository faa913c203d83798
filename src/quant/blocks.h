// The blocks of quantised tensors as they lie in GGUF files: q is an integer code, d a scale,
// m a minimum. Layouts are those of ggml; x is the value that a code stands for.
#pragma once

#include <array>
#include <cstdint>

namespace stepstone {

using Half = std::uint16_t;  // the bits of an IEEE binary16

// Element j is in the low nibble of qs[j] for j < 16, else in the high nibble of qs[j - 16]; bit j
// of qh is its fifth bit.
struct BlockQ4_0 {  // x = d (q - 8)
  static constexpr std::uint32_t kElements = 32;
  Half d;
  std::uint8_t qs[16];
};
struct BlockQ4_1 {  // x = d q + m
  static constexpr std::uint32_t kElements = 32;
  Half d, m;
  std::uint8_t qs[16];
};
struct BlockQ5_0 {  // x = d (q - 16)
  static constexpr std::uint32_t kElements = 32;
  Half d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct BlockQ5_1 {  // x = d q + m
  static constexpr std::uint32_t kElements = 32;
  Half d, m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct BlockQ8_0 {  // x = d q
  static constexpr std::uint32_t kElements = 32;
  Half d;
  std::int8_t qs[32];
};
struct BlockIQ4_NL {  // x = d kCodebookIq4[q]
  static constexpr std::uint32_t kElements = 32;
  Half d;
  std::uint8_t qs[16];
};
struct BlockMXFP4 {  // x = 2^(e - 128) kCodebookMxfp4[q]: OCP microscaling, E2M1 under an E8M0
                     // scale
  static constexpr std::uint32_t kElements = 32;
  std::uint8_t e;
  std::uint8_t qs[16];
};

inline constexpr std::array<std::int8_t, 16> kCodebookIq4 = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Twice the values of E2M1.
inline constexpr std::array<std::int8_t, 16> kCodebookMxfp4 = {0, 1,  2,  3,  4,  6,  8,  12,
                                                               0, -1, -2, -3, -4, -6, -8, -12};

// Super-blocks: 256 values in sub-blocks of 16 or 32, whose scales are integers under d (and
// whose minima are under dmin).
struct BlockQ2_K {  // 16 x 16: x = d (scales & 15) q - dmin (scales >> 4)
  static constexpr std::uint32_t kElements = 256;
  std::uint8_t scales[16];
  std::uint8_t qs[64];  // 2 bits; bits 2i, 2i + 1 of byte j of half h: element 128 h + 32 i + j
  Half d, dmin;
};
struct BlockQ3_K {  // 16 x 16: x = d (scale - 32) (q - 4)
  static constexpr std::uint32_t kElements = 256;
  std::uint8_t hmask[32];  // bit 4h + i of byte j: the third bit of element 128 h + 32 i + j
  std::uint8_t qs[64];     // as in Q2_K
  std::uint8_t scales[12];
  Half d;
};
struct BlockQ4_K {  // 8 x 32: x = d scale q - dmin min
  static constexpr std::uint32_t kElements = 256;
  Half d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qs[128];  // byte 32 i + j: element 64 i + j below, 64 i + 32 + j above
};
struct BlockQ5_K {  // 8 x 32: x = d scale q - dmin min
  static constexpr std::uint32_t kElements = 256;
  Half d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qh[32];  // bit i of byte j: the fifth bit of element 32 i + j
  std::uint8_t qs[128];
};
struct BlockQ6_K {  // 16 x 16: x = d scale (q - 32)
  static constexpr std::uint32_t kElements = 256;
  std::uint8_t ql[128];  // low nibbles: byte 64 h + j: elements 128 h + j and 128 h + 64 + j
  std::uint8_t qh[64];   // bits 2i, 2i + 1 of byte 32 h + j: high bits of 128 h + 32 i + j
  std::int8_t scales[16];
  Half d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockIQ4_NL) == 18 &&
              sizeof(BlockMXFP4) == 17 && sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 &&
              sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

// The 6-bit scale and minimum of sub-block j < 8 of a Q4_K or Q5_K block.
struct ScaleMin {
  std::uint8_t scale, min;
};
inline ScaleMin scale_min(const std::uint8_t* scales, int j) {
  const auto u8 = [](int x) { return static_cast<std::uint8_t>(x); };
  if (j < 4) return {u8(scales[j] & 63), u8(scales[j + 4] & 63)};
  return {u8((scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4)),
          u8((scales[j + 4] >> 4) | ((scales[j] >> 6) << 4))};
}
// The 6-bit scale of sub-block j < 16 of a Q3_K block, 0 to 63.
inline int q3_scale(const std::uint8_t* scales, int j) {
  const int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
  return low | (((scales[8 + j % 4] >> (2 * (j / 4))) & 3) << 4);
}

inline float half_to_float(Half bits) {
  return static_cast<float>(__builtin_bit_cast(_Float16, bits));
}
// 2^(e - 128); below 2^-126 it is denormal.
inline float mxfp4_scale(std::uint8_t e) {
  return __builtin_bit_cast(
      float, e < 2 ? std::uint32_t{0x00200000} << e : static_cast<std::uint32_t>(e - 1) << 23);
}
// To nearest even; beyond 65504, infinity.
inline Half float_to_half(float value) {
  return __builtin_bit_cast(Half, static_cast<_Float16>(value));
}

}  // namespace stepstone
