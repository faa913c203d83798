// Rotation frequencies of rotary position embeddings, and cached tables of their cosines and
// sines. The scaling variants are those of Hugging Face transformers, modeling_rope_utils.py.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace stepstone::ops {

// With b = theta, d = the rotated width, f_i = b^(-2i/d), n = original_max_position:
//   none         f_i
//   linear       f_i / factor                                            (arXiv:2306.15595)
//   dynamic_ntk  b becomes b (factor L / n - factor + 1)^(d / (d - 2)), L = max(length, n)
//   llama3       f_i / factor for wavelengths above n / low_freq_factor, f_i for those below
//                n / high_freq_factor, linear in n / wavelength in between
//   yarn         between f_i / factor and f_i, ramped over the dimensions that turn beta_slow to
//                beta_fast times in n positions (arXiv:2309.00071)
//   longrope     f_i / long_factors[i] if length > n, else f_i / short_factors[i]
//                (arXiv:2402.13753)
struct RopeScaling {
  enum class Kind : std::uint8_t { none, linear, dynamic_ntk, llama3, yarn, longrope };

  Kind kind = Kind::none;
  double factor = 1;
  std::int64_t original_max_position = 0;
  // dynamic_ntk, longrope: the context length to scale for. transformers takes the longest position
  // seen so far, which makes a row depend on what ran before it; here it is a parameter.
  std::int64_t length = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  // Multiplies cos and sin; 0: yarn 0.1 ln(factor) + 1, longrope sqrt(1 + ln(factor) / ln(n)).
  double attention_factor = 0;
  bool truncate = true;                                 // yarn: ramp between whole dimensions
  std::vector<double> short_factors{}, long_factors{};  // longrope: rotary_dim / 2 each

  bool operator==(const RopeScaling&) const = default;
};

struct RopeParameters {
  std::int64_t rotary_dim = 0;  // even; the first rotary_dim of each head are rotated
  double theta = 10000;
  RopeScaling scaling = {};

  bool operator==(const RopeParameters&) const = default;
};

struct RopeFrequencies {
  std::vector<float> inverse;     // [rotary_dim / 2], radians per position
  double attention_factor = 1.0;  // multiplies cos and sin
};

// Throws UsageError for parameters that mean nothing.
RopeFrequencies rope_frequencies(const RopeParameters& parameters);

// cos[p, i] and sin[p, i] of p * f_i, times the attention factor; f32 [positions, rotary_dim / 2].
struct RopeTable {
  Tensor cos, sin;
};

// At least `positions` rows; shared between callers, grown on demand, safe from any thread.
// A row does not depend on the table's size. Throws UsageError above kMaxRopePosition.
inline constexpr std::int64_t kMaxRopePosition = std::int64_t{1} << 22;
std::shared_ptr<const RopeTable> rope_table(const RopeParameters& parameters,
                                            std::int64_t positions);

}  // namespace stepstone::ops
