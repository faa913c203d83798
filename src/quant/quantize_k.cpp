// The super-blocks. First every sub-block is fitted alone; then the common scale d (and dmin) makes
// the sub-blocks' scales integers, and each integer is chosen again among its neighbours for the
// least squared error with the rounded d.
#include <algorithm>

#include "quant/fit.h"

namespace stepstone::quant {
namespace {

constexpr auto kExact = [](auto value) { return value; };

int nearest(float y, int low, int high) {
  return static_cast<int>(
      IntegerCodes{static_cast<float>(low), static_cast<float>(high)}.nearest(y));
}

// Sub-blocks of N with x ~ d * scale * q, q in [-levels, levels), scale in [-range, range).
template <int N>
struct SymmetricFit {
  static constexpr int kBlocks = 256 / N;
  float d = 0;
  int scales[kBlocks] = {};

  SymmetricFit(const float* x, float levels, int range) {
    const IntegerCodes codes{-levels, levels - 1};
    float fitted[kBlocks], extreme = 0;
    for (int j = 0; j < kBlocks; ++j) {
      fitted[j] = fit_scale<N>(codes, x + N * j, kExact);
      if (std::abs(fitted[j]) > std::abs(extreme)) extreme = fitted[j];
    }
    d = half_to_float(checked_half(-extreme / static_cast<float>(range)));
    const float id = inverse(d);
    for (int j = 0; j < kBlocks; ++j) {
      const int middle = nearest(fitted[j] * id, -range, range - 1);
      float least = INFINITY;
      for (int s = std::max(middle - 1, -range); s <= std::min(middle + 1, range - 1); ++s) {
        const float error = scale_error<N>(codes, x + N * j, d * static_cast<float>(s));
        if (error < least) {
          least = error;
          scales[j] = s;
        }
      }
    }
  }
  // The code of element i, moved to begin with 0.
  int code(const float* x, int i, float levels) const {
    const float id = inverse(d * static_cast<float>(scales[i / N]));
    return static_cast<int>(IntegerCodes{-levels, levels - 1}.nearest(x[i] * id) + levels);
  }
};

// Sub-blocks of N with x ~ d * scale * q - dmin * min, q from 0 to high, scale and min from 0 to
// range.
template <int N>
struct AffineFit {
  static constexpr int kBlocks = 256 / N;
  float d = 0, dmin = 0;
  int scales[kBlocks] = {}, mins[kBlocks] = {};

  AffineFit(const float* x, float high, int range) {
    Affine fitted[kBlocks];
    float scale = 0, min = 0;
    for (int j = 0; j < kBlocks; ++j) {
      fitted[j] = fit_affine<N>(high, x + N * j, true, kExact);
      scale = std::max(scale, fitted[j].scale);
      min = std::max(min, -fitted[j].min);
    }
    d = half_to_float(checked_half(scale / static_cast<float>(range)));
    dmin = half_to_float(checked_half(min / static_cast<float>(range)));
    for (int j = 0; j < kBlocks; ++j) choose(x + N * j, j, high, range, fitted[j]);
  }
  Affine sub_block(int j) const {
    return {d * static_cast<float>(scales[j]), -dmin * static_cast<float>(mins[j])};
  }
  int code(const float* x, int i, float high) const {
    const Affine a = sub_block(i / N);
    return static_cast<int>(IntegerCodes{0, high}.nearest((x[i] - a.min) * inverse(a.scale)));
  }

 private:
  void choose(const float* x, int j, float high, int range, Affine fitted) {
    const int s0 = nearest(fitted.scale * inverse(d), 0, range);
    const int m0 = nearest(-fitted.min * inverse(dmin), 0, range);
    const std::array<float, N> w = error_weights<N>(x);
    float least = INFINITY;
    for (int s = std::max(s0 - 1, 0); s <= std::min(s0 + 1, range); ++s) {
      for (int m = std::max(m0 - 1, 0); m <= std::min(m0 + 1, range); ++m) {
        const Affine a{d * static_cast<float>(s), -dmin * static_cast<float>(m)};
        const float error = affine_error<N>(high, x, w, a);
        if (error < least) {
          least = error;
          scales[j] = s;
          mins[j] = m;
        }
      }
    }
  }
};

std::uint8_t u8(int value) { return static_cast<std::uint8_t>(value); }

// Eight 6-bit scales and minima in 12 bytes; the reverse is scale_min() of quant/blocks.h.
void put_scale_mins(const int* scales, const int* mins, std::uint8_t* out) {
  for (int j = 0; j < 4; ++j) {
    out[j] = u8(scales[j] | ((scales[j + 4] >> 4) << 6));
    out[j + 4] = u8(mins[j] | ((mins[j + 4] >> 4) << 6));
    out[j + 8] = u8((scales[j + 4] & 15) | ((mins[j + 4] & 15) << 4));
  }
}

void put_two_bits(std::uint8_t* qs, int i, int code) {
  std::uint8_t& byte = qs[i / 128 * 32 + i % 32];
  byte = u8(byte | ((code & 3) << (i % 128 / 32 * 2)));
}

}  // namespace

void encode(const float* x, BlockQ2_K& b) {
  const AffineFit<16> fit(x, 3, 15);
  b = {};
  b.d = checked_half(fit.d);
  b.dmin = checked_half(fit.dmin);
  for (int j = 0; j < 16; ++j) b.scales[j] = u8(fit.scales[j] | (fit.mins[j] << 4));
  for (int i = 0; i < 256; ++i) put_two_bits(b.qs, i, fit.code(x, i, 3));
}

void encode(const float* x, BlockQ3_K& b) {
  const SymmetricFit<16> fit(x, 4, 32);
  b = {};
  b.d = checked_half(fit.d);
  for (int j = 0; j < 16; ++j) {
    const int scale = fit.scales[j] + 32;
    b.scales[j % 8] = u8(b.scales[j % 8] | ((scale & 15) << (j / 8 * 4)));
    b.scales[8 + j % 4] = u8(b.scales[8 + j % 4] | ((scale >> 4) << (j / 4 * 2)));
  }
  for (int i = 0; i < 256; ++i) {
    const int code = fit.code(x, i, 4);
    put_two_bits(b.qs, i, code);
    b.hmask[i % 32] = u8(b.hmask[i % 32] | ((code >> 2) << (i / 32)));
  }
}

void encode(const float* x, BlockQ4_K& b) {
  const AffineFit<32> fit(x, 15, 63);
  b = {};
  b.d = checked_half(fit.d);
  b.dmin = checked_half(fit.dmin);
  put_scale_mins(fit.scales, fit.mins, b.scales);
  for (int i = 0; i < 256; ++i) {
    std::uint8_t& byte = b.qs[i / 64 * 32 + i % 32];
    byte = u8(byte | (fit.code(x, i, 15) << (i % 64 / 32 * 4)));
  }
}

void encode(const float* x, BlockQ5_K& b) {
  const AffineFit<32> fit(x, 31, 63);
  b = {};
  b.d = checked_half(fit.d);
  b.dmin = checked_half(fit.dmin);
  put_scale_mins(fit.scales, fit.mins, b.scales);
  for (int i = 0; i < 256; ++i) {
    const int code = fit.code(x, i, 31);
    std::uint8_t& byte = b.qs[i / 64 * 32 + i % 32];
    byte = u8(byte | ((code & 15) << (i % 64 / 32 * 4)));
    b.qh[i % 32] = u8(b.qh[i % 32] | ((code >> 4) << (i / 32)));
  }
}

void encode(const float* x, BlockQ6_K& b) {
  const SymmetricFit<16> fit(x, 32, 128);
  b = {};
  b.d = checked_half(fit.d);
  for (int j = 0; j < 16; ++j) b.scales[j] = static_cast<std::int8_t>(fit.scales[j]);
  for (int i = 0; i < 256; ++i) {
    const int code = fit.code(x, i, 32);
    std::uint8_t& low = b.ql[i / 128 * 64 + i % 64];
    low = u8(low | ((code & 15) << (i % 128 / 64 * 4)));
    std::uint8_t& high = b.qh[i / 128 * 32 + i % 32];
    high = u8(high | ((code >> 4) << (i % 128 / 32 * 2)));
  }
}

}  // namespace stepstone::quant
