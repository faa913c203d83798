#include "ops/rotary/rotary_frequencies.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <mutex>
#include <numbers>

#include "core/threads.h"

namespace stepstone::ops {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

void check(const RopeParameters& p) {
  using Kind = RopeScaling::Kind;
  const RopeScaling& s = p.scaling;
  require<UsageError>(p.rotary_dim >= 2 && p.rotary_dim % 2 == 0,
                      "rotary: rotary_dim must be even and positive, got {}", p.rotary_dim);
  require<UsageError>(std::isfinite(p.theta) && p.theta > 1, "rotary: theta must exceed 1, got {}",
                      p.theta);
  if (s.kind == Kind::none) return;
  require<UsageError>(std::isfinite(s.factor) && s.factor > 0,
                      "rotary: the scaling factor must be positive, got {}", s.factor);
  if (s.kind == Kind::linear) return;
  require<UsageError>(s.original_max_position > 0,
                      "rotary: original_max_position must be positive, got {}",
                      s.original_max_position);
  require<UsageError>(s.kind != Kind::dynamic_ntk || p.rotary_dim > 2,
                      "rotary: dynamic NTK scaling needs a rotary_dim above 2");
  require<UsageError>(s.kind != Kind::dynamic_ntk || s.factor >= 1,
                      "rotary: dynamic NTK scaling needs a factor of at least 1, got {}", s.factor);
  require<UsageError>(
      s.kind != Kind::llama3 || (s.low_freq_factor > 0 && s.high_freq_factor > s.low_freq_factor),
      "rotary: expected 0 < low_freq_factor < high_freq_factor, got {} and {}", s.low_freq_factor,
      s.high_freq_factor);
  require<UsageError>(s.kind != Kind::yarn || (s.beta_fast > 0 && s.beta_slow > 0),
                      "rotary: beta_fast and beta_slow must be positive, got {} and {}",
                      s.beta_fast, s.beta_slow);
  if (s.kind != Kind::longrope) return;
  for (const auto* factors : {&s.short_factors, &s.long_factors}) {
    require<UsageError>(static_cast<std::int64_t>(factors->size()) == p.rotary_dim / 2 &&
                            std::ranges::all_of(*factors, [](double f) { return f > 0; }),
                        "rotary: longrope needs {} positive factors of each kind, got {}",
                        p.rotary_dim / 2, factors->size());
  }
}

double llama3(double f, const RopeScaling& s) {
  const auto n = static_cast<double>(s.original_max_position);
  const double wavelength = kTurn / f;
  if (wavelength > n / s.low_freq_factor) return f / s.factor;
  if (wavelength < n / s.high_freq_factor) return f;
  const double smooth =
      (n / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * f / s.factor + smooth * f;
}

// Where along the dimensions YaRN goes over from extrapolation (0) to interpolation (1).
class YarnRamp {
 public:
  explicit YarnRamp(const RopeParameters& p) {
    low_ = dimension(p, p.scaling.beta_fast);
    high_ = dimension(p, p.scaling.beta_slow);
    if (p.scaling.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, static_cast<double>(p.rotary_dim - 1));
    if (low_ == high_) high_ += 0.001;
  }
  double operator()(std::int64_t i) const {
    return std::clamp((static_cast<double>(i) - low_) / (high_ - low_), 0.0, 1.0);
  }

 private:
  // The dimension that makes `turns` turns in the original context.
  static double dimension(const RopeParameters& p, double turns) {
    const auto n = static_cast<double>(p.scaling.original_max_position);
    return static_cast<double>(p.rotary_dim) * std::log(n / (turns * kTurn)) /
           (2 * std::log(p.theta));
  }
  double low_, high_;
};

double automatic_factor(const RopeScaling& s) {
  if (s.factor <= 1) return 1;
  if (s.kind == RopeScaling::Kind::yarn) return 0.1 * std::log(s.factor) + 1;
  return std::sqrt(1 + std::log(s.factor) / std::log(static_cast<double>(s.original_max_position)));
}

struct CachedTable {
  RopeParameters parameters;
  std::shared_ptr<const RopeTable> table;
};

// The angle is rounded to f32 before its cosine is taken, as the models were trained.
std::shared_ptr<const RopeTable> make_table(const RopeParameters& parameters,
                                            std::int64_t positions) {
  const RopeFrequencies f = rope_frequencies(parameters);
  const auto half = static_cast<std::int64_t>(f.inverse.size());
  auto table = std::make_shared<RopeTable>();
  table->cos = Tensor::empty({positions, half}, DType::f32);
  table->sin = Tensor::empty({positions, half}, DType::f32);
  float* cos = table->cos.data<float>();
  float* sin = table->sin.data<float>();
  parallel_for(positions, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      for (std::int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(p) * f.inverse[static_cast<std::size_t>(i)];
        cos[p * half + i] = static_cast<float>(std::cos(double{angle}) * f.attention_factor);
        sin[p * half + i] = static_cast<float>(std::sin(double{angle}) * f.attention_factor);
      }
    }
  });
  return table;
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeParameters& p) {
  using Kind = RopeScaling::Kind;
  check(p);
  const RopeScaling& s = p.scaling;
  const auto d = static_cast<double>(p.rotary_dim);
  double base = p.theta;
  if (s.kind == Kind::dynamic_ntk) {
    const auto n = static_cast<double>(s.original_max_position);
    const double length = std::max(static_cast<double>(s.length), n);
    base *= std::pow(s.factor * length / n - (s.factor - 1), d / (d - 2));
  }
  RopeFrequencies result;
  for (std::int64_t i = 0; i < p.rotary_dim / 2; ++i) {
    double f = std::pow(base, -2 * static_cast<double>(i) / d);
    if (s.kind == Kind::linear) f /= s.factor;
    if (s.kind == Kind::llama3) f = llama3(f, s);
    if (s.kind == Kind::yarn) {
      const double ramp = YarnRamp(p)(i);
      f = f / s.factor * ramp + f * (1 - ramp);
    }
    if (s.kind == Kind::longrope) {
      const auto& factors = s.length > s.original_max_position ? s.long_factors : s.short_factors;
      f /= factors[static_cast<std::size_t>(i)];
    }
    result.inverse.push_back(static_cast<float>(f));
  }
  if (s.kind == Kind::yarn || s.kind == Kind::longrope) {
    result.attention_factor = s.attention_factor == 0 ? automatic_factor(s) : s.attention_factor;
  }
  return result;
}

std::shared_ptr<const RopeTable> rope_table(const RopeParameters& parameters,
                                            std::int64_t positions) {
  require<UsageError>(positions <= kMaxRopePosition,
                      "rotary: {} positions, at most {} are possible", positions, kMaxRopePosition);
  static std::mutex mutex;
  static auto* tables = new std::list<CachedTable>;  // few: one per kind of layer
  const std::lock_guard lock(mutex);
  auto it = std::find_if(tables->begin(), tables->end(),
                         [&](const CachedTable& t) { return t.parameters == parameters; });
  if (it != tables->end() && it->table->cos.dim(0) >= positions) return it->table;
  // Doubling, so that decoding token by token rebuilds it rarely.
  std::int64_t rows = 256;
  while (rows < positions) rows *= 2;
  auto table = make_table(parameters, rows);
  if (it == tables->end()) {
    tables->push_back({parameters, table});
  } else {
    it->table = table;
  }
  return table;
}

}  // namespace stepstone::ops
