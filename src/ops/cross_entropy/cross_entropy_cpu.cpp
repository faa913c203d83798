#include "ops/cross_entropy/cross_entropy_cpu.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cross_entropy/cross_entropy_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/softmax/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

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
  const bool capped = config.softcap > 0;
  if (capped) softcap_row(n, config.softcap, row);
  const float at_target = row[target];
  const auto top = row_max(n, row);
  // The derivative of the cap needs the logits again; without it their exponentials replace them.
  const float sum = capped ? row_sum_exp(n, row, top, nullptr) : row_sum_exp(n, row, top, row);
  const double log_sum = std::log(static_cast<double>(sum));
  const double lse = hn::GetLane(top) + log_sum;
  const double nll = log_sum + (static_cast<double>(hn::GetLane(top)) - at_target);
  if (gradient) {
    const auto factor =
        hn::Set(kF32, static_cast<float>(config.scale * (1 + 2.0 * config.z_loss * lse) / sum));
    float slope = 1;
    if (capped) {
      const auto inverse = hn::Set(kF32, 1 / config.softcap), one = hn::Set(kF32, 1.0f);
      map(
          n,
          [=](VecF32 v) HWY_ATTR {
            const auto t = hn::Mul(v, inverse);
            return hn::Mul(hn::Mul(exp(hn::Sub(v, top)), factor), hn::NegMulAdd(t, t, one));
          },
          row, row);
      slope -= at_target / config.softcap * (at_target / config.softcap);
    } else {
      map(
          n, [=](VecF32 v) HWY_ATTR { return hn::Mul(v, factor); }, row, row);
    }
    row[target] -= config.scale * slope;
    // In place: a vector is written no further than those already read.
    if (config.bf16_gradient) {
      map(
          n, [](VecF32 v) HWY_ATTR { return v; }, reinterpret_cast<bf16*>(row), row);
    }
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
