#include "ops/cross_entropy/cross_entropy_cpu.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cross_entropy/cross_entropy_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"
#include "ops/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// combine over fn(p[i]) in one fixed order, the tail padded with -inf.
template <typename Fn, typename Combine>
HWY_INLINE VecF32 reduce_row(std::int64_t n, const float* p, VecF32 start, Fn&& fn,
                             Combine&& combine) {
  const std::int64_t step = lanes();
  VecF32 s0 = start, s1 = start, s2 = start, s3 = start;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = combine(s0, fn(load(p + i)));
    s1 = combine(s1, fn(load(p + i + step)));
    s2 = combine(s2, fn(load(p + i + 2 * step)));
    s3 = combine(s3, fn(load(p + i + 3 * step)));
  }
  for (; i + step <= n; i += step) s0 = combine(s0, fn(load(p + i)));
  if (i < n) {
    const auto tail = hn::FirstN(kF32, static_cast<std::size_t>(n - i));
    const auto minus_infinity = hn::Set(kF32, -std::numeric_limits<float>::infinity());
    s1 = combine(s1, fn(hn::IfThenElse(tail, load_n(p + i, n - i), minus_infinity)));
  }
  return combine(combine(s0, s1), combine(s2, s3));
}

static HWY_INLINE void softcap_row(std::int64_t n, float cap, float* row) {
  const auto c = hn::Set(kF32, cap), inverse = hn::Set(kF32, 1 / cap);
  map(
      n, [=](VecF32 v) HWY_ATTR { return hn::Mul(c, tanh(hn::Mul(v, inverse))); }, row, row);
}

struct CrossEntropyRow {
  double nll, loss;
};

// One row: its loss, and in place its gradient. The row stays in the L2 cache over the passes.
static CrossEntropyRow cross_entropy_row(std::int64_t n, float* row, std::int32_t target,
                                         const cpu::CrossEntropyRows& config, bool gradient) {
  if (config.softcap > 0) softcap_row(n, config.softcap, row);
  const auto top =
      hn::MaxOfLanes(kF32, reduce_row(
                               n, row, hn::Set(kF32, -std::numeric_limits<float>::infinity()),
                               [](VecF32 v) HWY_ATTR { return v; },
                               [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Max(a, b); }));
  const float sum = hn::GetLane(hn::SumOfLanes(
      kF32, reduce_row(
                n, row, hn::Zero(kF32), [=](VecF32 v) HWY_ATTR { return exp(hn::Sub(v, top)); },
                [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Add(a, b); })));
  const double log_sum = std::log(static_cast<double>(sum));
  const double lse = hn::GetLane(top) + log_sum;
  const float at_target = row[target];
  const double nll = log_sum + (static_cast<double>(hn::GetLane(top)) - at_target);
  if (gradient) {
    const auto factor =
        hn::Set(kF32, static_cast<float>(config.scale * (1 + 2.0 * config.z_loss * lse) / sum));
    const float inverse_cap = config.softcap > 0 ? 1 / config.softcap : 0;
    const float capped = at_target * inverse_cap;
    if (config.softcap > 0) {
      const auto inverse = hn::Set(kF32, inverse_cap), one = hn::Set(kF32, 1.0f);
      map(
          n,
          [=](VecF32 v) HWY_ATTR {
            const auto t = hn::Mul(v, inverse);
            return hn::Mul(hn::Mul(exp(hn::Sub(v, top)), factor), hn::NegMulAdd(t, t, one));
          },
          row, row);
    } else {
      map(
          n, [=](VecF32 v) HWY_ATTR { return hn::Mul(exp(hn::Sub(v, top)), factor); }, row, row);
    }
    row[target] -= config.scale * (1 - capped * capped);
  }
  return {nll, nll + config.z_loss * lse * lse};
}

void CrossEntropyRowsKernel(const Tensor& z, std::span<const std::int32_t> targets,
                            const cpu::CrossEntropyRows& config, bool gradient,
                            std::span<double> nll, std::span<double> loss) {
  const std::int64_t n = z.cols();
  float* rows = z.data<float>();
  parallel_for(z.rows(), row_grain(n), [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      float* row = rows + static_cast<std::int64_t>(i) * n;
      CrossEntropyRow result{};
      if (targets[i] >= 0) {
        result = cross_entropy_row(n, row, targets[i], config, gradient);
      } else if (gradient) {
        std::memset(row, 0, static_cast<std::size_t>(n) * sizeof(float));
      }
      nll[i] = result.nll;
      loss[i] = result.loss;
    }
  });
}

void Softcap(const Tensor& z, float cap) {
  const std::int64_t n = z.cols();
  float* rows = z.data<float>();
  parallel_for(z.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) softcap_row(n, cap, rows + i * n);
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(CrossEntropyRowsKernel);
HWY_EXPORT(Softcap);

void cross_entropy_rows(const Tensor& z, std::span<const std::int32_t> targets,
                        const CrossEntropyRows& config, bool gradient, std::span<double> nll,
                        std::span<double> loss) {
  HWY_DYNAMIC_DISPATCH(CrossEntropyRowsKernel)(z, targets, config, gradient, nll, loss);
}
void softcap(const Tensor& z, float cap) { HWY_DYNAMIC_DISPATCH(Softcap)(z, cap); }

}  // namespace stepstone::cpu
#endif
