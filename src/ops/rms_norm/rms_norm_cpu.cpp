#include "ops/rms_norm/rms_norm_cpu.h"

#include <cmath>

#include "core/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rms_norm/rms_norm_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "backend/cpu/simd-inl.h"
#include "ops/column_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// Rows per task: enough work to pay for handing it out, and a constant, so that results do not
// depend on the thread count.
static std::int64_t row_grain(std::int64_t n) { return std::max<std::int64_t>(1, 8192 / (n + 1)); }

void RmsNormForward(const Tensor& x, const Tensor& weight, float eps, const Tensor& y,
                    const Tensor& inverse_rms) {
  const std::int64_t n = x.cols();
  const float* w = weight.defined() ? weight.data<float>() : nullptr;
  float* scale = inverse_rms.data<float>();
  dispatch(x, [&](auto* px) {
    dispatch(y, [&](auto* py) {
      parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto* row = px + i * n;
          const float squares = map_sum(
              n, [](VecF32 v) HWY_ATTR { return hn::Mul(v, v); }, row);
          scale[i] = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
          const auto s = hn::Set(kF32, scale[i]);
          if (w) {
            map(
                n, [=](VecF32 v, VecF32 u) HWY_ATTR { return hn::Mul(hn::Mul(v, s), u); },
                py + i * n, row, w);
          } else {
            map(
                n, [=](VecF32 v) HWY_ATTR { return hn::Mul(v, s); }, py + i * n, row);
          }
        }
      });
    });
  });
}

void RmsNormBackwardX(const Tensor& x, const Tensor& weight, const Tensor& inverse_rms,
                      const Tensor& dy, const Tensor& dx, bool accumulate) {
  const std::int64_t n = x.cols();
  const float* w = weight.defined() ? weight.data<float>() : nullptr;
  const float* scale = inverse_rms.data<float>();
  dispatch(x, [&](auto* px) {
    dispatch(dy, [&](auto* pdy) {
      auto* pdx = dx.data<std::remove_const_t<std::remove_pointer_t<decltype(px)>>>();
      parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto* row = px + i * n;
          const auto* grad = pdy + i * n;
          const float dot =
              w ? map_sum(
                      n,
                      [](VecF32 a, VecF32 b, VecF32 c)
                          HWY_ATTR { return hn::Mul(hn::Mul(a, c), b); },
                      row, grad, w)
                : map_sum(
                      n, [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Mul(a, b); }, row, grad);
          const float s = scale[i];
          const auto vs = hn::Set(kF32, s);
          const auto vc = hn::Set(kF32, s * s * s * dot / static_cast<float>(n));
          auto* out = pdx + i * n;
          const auto formula = [=](VecF32 v, VecF32 g)
                                   HWY_ATTR { return hn::Sub(hn::Mul(g, vs), hn::Mul(v, vc)); };
          if (w && accumulate) {
            map(
                n,
                [=](VecF32 v, VecF32 g, VecF32 u, VecF32 old)
                    HWY_ATTR { return hn::Add(old, formula(v, hn::Mul(g, u))); },
                out, row, grad, w, out);
          } else if (w) {
            map(
                n, [=](VecF32 v, VecF32 g, VecF32 u) HWY_ATTR { return formula(v, hn::Mul(g, u)); },
                out, row, grad, w);
          } else if (accumulate) {
            map(
                n,
                [=](VecF32 v, VecF32 g, VecF32 old)
                    HWY_ATTR { return hn::Add(old, formula(v, g)); },
                out, row, grad, out);
          } else {
            map(n, formula, out, row, grad);
          }
        }
      });
    });
  });
}

void RmsNormBackwardWeight(const Tensor& x, const Tensor& inverse_rms, const Tensor& dy,
                           const Tensor& dweight, bool accumulate) {
  const float* scale = inverse_rms.data<float>();
  const std::int64_t n = x.cols();
  dispatch(x, [&](auto* px) {
    dispatch(dy, [&](auto* pdy) {
      column_sum(x.rows(), n, dweight.data<float>(), accumulate,
                 [=](std::int64_t i, float* sum) HWY_ATTR {
                   const auto s = hn::Set(kF32, scale[i]);
                   map(
                       n,
                       [=](VecF32 old, VecF32 v, VecF32 g)
                           HWY_ATTR { return hn::MulAdd(hn::Mul(v, s), g, old); },
                       sum, sum, px + i * n, pdy + i * n);
                 });
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(RmsNormForward);
HWY_EXPORT(RmsNormBackwardX);
HWY_EXPORT(RmsNormBackwardWeight);

void rms_norm_forward(const Tensor& x, const Tensor& weight, float eps, const Tensor& y,
                      const Tensor& inverse_rms) {
  HWY_DYNAMIC_DISPATCH(RmsNormForward)(x, weight, eps, y, inverse_rms);
}
void rms_norm_backward_x(const Tensor& x, const Tensor& weight, const Tensor& inverse_rms,
                         const Tensor& dy, const Tensor& dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardX)(x, weight, inverse_rms, dy, dx, accumulate);
}
void rms_norm_backward_weight(const Tensor& x, const Tensor& inverse_rms, const Tensor& dy,
                              const Tensor& dweight, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardWeight)(x, inverse_rms, dy, dweight, accumulate);
}

}  // namespace stepstone::cpu
#endif
