#include "ops/layer_norm/layer_norm_cpu.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/layer_norm/layer_norm_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/column_sum-inl.h"
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// The sum of (x - mean)^2. The row's last vector is masked: its padding is not at the mean.
template <typename T>
HWY_INLINE float centred_squares(std::int64_t n, const T* row, float mean) {
  const auto m = hn::Set(kF32, mean);
  const auto square = [=](VecF32 v) HWY_ATTR {
    const auto c = hn::Sub(v, m);
    return hn::Mul(c, c);
  };
  const std::int64_t rest = n % lanes(), whole = n - rest;
  const float sum = map_sum(whole, square, row);
  if (rest == 0) return sum;
  const auto mask = hn::FirstN(kF32, static_cast<std::size_t>(rest));
  const auto tail = hn::IfThenElseZero(mask, square(load_n(row + whole, rest)));
  return sum + hn::GetLane(hn::SumOfLanes(kF32, tail));
}

void LayerNormForward(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                      const Tensor& y, const Tensor& mean, const Tensor& inverse_deviation) {
  const std::int64_t n = x.cols();
  const float* w = weight.data<float>();
  const float* b = bias.defined() ? bias.data<float>() : nullptr;
  float* means = mean.data<float>();
  float* scales = inverse_deviation.data<float>();
  dispatch(x, [&](auto* px) {
    dispatch(y, [&](auto* py) {
      parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto* row = px + i * n;
          const auto count = static_cast<float>(n);
          means[i] = map_sum(
                         n, [](VecF32 v) HWY_ATTR { return v; }, row) /
                     count;
          scales[i] = 1 / std::sqrt(centred_squares(n, row, means[i]) / count + eps);
          const auto m = hn::Set(kF32, means[i]), s = hn::Set(kF32, scales[i]);
          if (b) {
            map(
                n,
                [=](VecF32 v, VecF32 u, VecF32 c)
                    HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, m), s), u, c); },
                py + i * n, row, w, b);
          } else {
            map(
                n,
                [=](VecF32 v, VecF32 u) HWY_ATTR { return hn::Mul(hn::Mul(hn::Sub(v, m), s), u); },
                py + i * n, row, w);
          }
        }
      });
    });
  });
}

void LayerNormBackwardX(const Tensor& x, const Tensor& weight, const Tensor& mean,
                        const Tensor& inverse_deviation, const Tensor& dy, const Tensor& dx,
                        bool accumulate) {
  const std::int64_t n = x.cols();
  const float* w = weight.data<float>();
  const float* means = mean.data<float>();
  const float* scales = inverse_deviation.data<float>();
  dispatch(dx, [&](auto* pdx) {
    const auto* px = x.data<std::remove_pointer_t<decltype(pdx)>>();
    dispatch(dy, [&](auto* pdy) {
      parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto* row = px + i * n;
          const auto* grad = pdy + i * n;
          const auto m = hn::Set(kF32, means[i]), s = hn::Set(kF32, scales[i]);
          const float sum = map_sum(
              n, [](VecF32 g, VecF32 u) HWY_ATTR { return hn::Mul(g, u); }, grad, w);
          const float dot = map_sum(
              n,
              [=](VecF32 g, VecF32 u, VecF32 v)
                  HWY_ATTR { return hn::Mul(hn::Mul(g, u), hn::Mul(hn::Sub(v, m), s)); },
              grad, w, row);
          const auto a = hn::Set(kF32, sum / static_cast<float>(n));
          const auto b = hn::Set(kF32, dot / static_cast<float>(n));
          map_into(
              accumulate, n,
              [=](VecF32 g, VecF32 u, VecF32 v) HWY_ATTR {
                const auto centred = hn::Sub(hn::Mul(g, u), a);
                return hn::Mul(s, hn::NegMulAdd(hn::Mul(hn::Sub(v, m), s), b, centred));
              },
              pdx + i * n, grad, w, row);
        }
      });
    });
  });
}

void LayerNormBackwardWeight(const Tensor& x, const Tensor& mean, const Tensor& inverse_deviation,
                             const Tensor& dy, const Tensor& dweight, bool accumulate) {
  const std::int64_t n = x.cols();
  const float* means = mean.data<float>();
  const float* scales = inverse_deviation.data<float>();
  dispatch(x, [&](auto* px) {
    dispatch(dy, [&](auto* pdy) {
      column_sum(x.rows(), n, dweight.data<float>(), accumulate,
                 [=](std::int64_t i, float* sum) HWY_ATTR {
                   const auto m = hn::Set(kF32, means[i]), s = hn::Set(kF32, scales[i]);
                   map(
                       n,
                       [=](VecF32 old, VecF32 v, VecF32 g)
                           HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, m), s), g, old); },
                       sum, sum, px + i * n, pdy + i * n);
                 });
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(LayerNormForward);
HWY_EXPORT(LayerNormBackwardX);
HWY_EXPORT(LayerNormBackwardWeight);

void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                        const Tensor& y, const Tensor& mean, const Tensor& inverse_deviation) {
  HWY_DYNAMIC_DISPATCH(LayerNormForward)(x, weight, bias, eps, y, mean, inverse_deviation);
}
void layer_norm_backward_x(const Tensor& x, const Tensor& weight, const Tensor& mean,
                           const Tensor& inverse_deviation, const Tensor& dy, const Tensor& dx,
                           bool accumulate) {
  HWY_DYNAMIC_DISPATCH(LayerNormBackwardX)
  (x, weight, mean, inverse_deviation, dy, dx, accumulate);
}
void layer_norm_backward_weight(const Tensor& x, const Tensor& mean,
                                const Tensor& inverse_deviation, const Tensor& dy,
                                const Tensor& dweight, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(LayerNormBackwardWeight)
  (x, mean, inverse_deviation, dy, dweight, accumulate);
}

}  // namespace stepstone::cpu
#endif
