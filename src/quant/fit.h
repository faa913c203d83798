// The scale (and minimum) of a block with the least squared error. For given codes q the best
// scale is a least-squares solution, and for a given scale the best codes are the nearest ones; so
// each of several starting scales is improved once by least squares, and the best one is kept.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "quant/blocks.h"

namespace stepstone::quant {

// Sums of eight interleaved chains: an order that vectorises.
template <int N, typename F>
float sum(F&& term) {
  static_assert(N % 8 == 0);
  float part[8] = {};
  for (int i = 0; i < N; i += 8) {
    for (int lane = 0; lane < 8; ++lane) part[lane] += term(i + lane);
  }
  return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

inline float square(float x) { return x * x; }
inline float inverse(float scale) { return scale == 0 ? 0 : 1 / scale; }

// The nearest code to y, as a float.
struct IntegerCodes {
  float low, high;
  float nearest(float y) const {
    constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it leaves no fraction bits
    const float clipped = y < low ? low : y > high ? high : y;
    return (clipped + kRound) - kRound;
  }
};
struct Iq4Codes {
  static constexpr float low = kCodebookIq4.front(), high = kCodebookIq4.back();
  static float nearest(float y) {
    float code = low;
    for (std::size_t k = 0; k + 1 < kCodebookIq4.size(); ++k) {
      const float a = kCodebookIq4[k], b = kCodebookIq4[k + 1];
      code += y > (a + b) / 2 ? b - a : 0.0f;
    }
    return code;
  }
};

template <int N>
float largest(const float* x) {
  float best = 0;
  for (int i = 0; i < N; ++i) {
    if (std::abs(x[i]) > std::abs(best)) best = x[i];
  }
  return best;  // with its sign
}

template <int N, typename Codes>
float scale_error(const Codes& codes, const float* x, float scale) {
  const float id = inverse(scale);
  return sum<N>([=](int i) { return square(x[i] - scale * codes.nearest(x[i] * id)); });
}

// x ~ scale * code. `store` rounds a scale to what the block can hold.
template <int N, typename Codes, typename Store>
float fit_scale(const Codes& codes, const float* x, Store&& store) {
  const float extreme = largest<N>(x);
  if (extreme == 0) return 0;
  float best = store(extreme / codes.low);
  float least = scale_error<N>(codes, x, best);
  for (const float end : {codes.low, codes.high}) {
    for (int step = -10; step <= 6; ++step) {
      const float id = end * (1 + 0.02f * static_cast<float>(step)) / extreme;
      const float xq = sum<N>([=](int i) { return x[i] * codes.nearest(x[i] * id); });
      const float qq = sum<N>([=](int i) { return square(codes.nearest(x[i] * id)); });
      if (qq == 0) continue;
      const float scale = store(xq / qq);
      const float error = scale_error<N>(codes, x, scale);
      if (error < least) {
        least = error;
        best = scale;
      }
    }
  }
  return best;
}

// x ~ scale * q + min, q from 0 to high.
struct Affine {
  float scale = 0, min = 0;
};

// An error counts more the larger the value: by |x| over the root mean square, plus one.
// Predictions move less for it than for the same squared error without
// (docs/decisions/quantised.md).
template <int N>
std::array<float, N> error_weights(const float* x) {
  std::array<float, N> w;
  const float rms = std::sqrt(sum<N>([=](int i) { return square(x[i]); }) / N);
  for (int i = 0; i < N; ++i) w[static_cast<std::size_t>(i)] = rms + std::abs(x[i]);
  return w;
}

template <int N>
float affine_error(float high, const float* x, const std::array<float, N>& w, Affine a) {
  const IntegerCodes codes{0, high};
  const float id = inverse(a.scale);
  return sum<N>([&](int i) {
    return w[static_cast<std::size_t>(i)] *
           square(x[i] - (a.scale * codes.nearest((x[i] - a.min) * id) + a.min));
  });
}

// The least-squares scale and minimum for the codes that `a` gives.
template <int N>
Affine refit(float high, const float* x, const std::array<float, N>& w, Affine a,
             bool min_below_zero) {
  const IntegerCodes codes{0, high};
  const float id = inverse(a.scale);
  float q[N];
  for (int i = 0; i < N; ++i) q[i] = codes.nearest((x[i] - a.min) * id);
  const auto weighted = [&](auto&& term) {
    return sum<N>([&](int i) { return w[static_cast<std::size_t>(i)] * term(i); });
  };
  const float n = sum<N>([&](int i) { return w[static_cast<std::size_t>(i)]; });
  const float s = weighted([&](int i) { return q[i]; });
  const float qq = weighted([&](int i) { return q[i] * q[i]; });
  const float sx = weighted([&](int i) { return x[i]; });
  const float xq = weighted([&](int i) { return x[i] * q[i]; });
  const float determinant = n * qq - s * s;
  if (determinant <= 0) return a;
  const Affine best{(n * xq - s * sx) / determinant, (qq * sx - s * xq) / determinant};
  if (min_below_zero && best.min > 0) return {xq / qq, 0};
  return best;
}

// `store` rounds scale and minimum to what the block can hold. `min_below_zero`: it can hold no
// minimum above zero.
template <int N, typename Store>
Affine fit_affine(float high, const float* x, bool min_below_zero, Store&& store) {
  float low = x[0], top = x[0];
  for (int i = 1; i < N; ++i) {
    low = x[i] < low ? x[i] : low;
    top = x[i] > top ? x[i] : top;
  }
  if (min_below_zero && low > 0) low = 0;
  if (top <= low) return store(Affine{0, low});
  const std::array<float, N> w = error_weights<N>(x);
  Affine best = store(Affine{(top - low) / high, low});
  float least = affine_error<N>(high, x, w, best);
  for (int step = -10; step <= 6; ++step) {
    const float levels = high * (1 + (high < 4 ? 0.05f : 0.02f) * static_cast<float>(step));
    Affine a{(top - low) / levels, low};
    for (int round = 0; round < 2; ++round) {
      a = refit<N>(high, x, w, a, min_below_zero);
      const Affine stored = store(a);
      const float error = affine_error<N>(high, x, w, stored);
      if (error < least) {
        least = error;
        best = stored;
      }
    }
  }
  return best;
}

// A scale as binary16.
inline float round_to_half(float value) { return half_to_float(float_to_half(value)); }

inline Half checked_half(float value) {
  const Half bits = float_to_half(value);
  require((bits & 0x7c00) != 0x7c00, "quantize: {} is too large for a 16-bit scale", value);
  return bits;
}

void encode(const float* x, BlockQ2_K& block);
void encode(const float* x, BlockQ3_K& block);
void encode(const float* x, BlockQ4_K& block);
void encode(const float* x, BlockQ5_K& block);
void encode(const float* x, BlockQ6_K& block);

}  // namespace stepstone::quant
