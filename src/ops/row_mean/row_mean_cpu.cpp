#include "ops/row_mean/row_mean_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/row_mean/row_mean_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void RowMeanForward(const Tensor& x, const Tensor& y) {
  const std::int64_t n = x.cols();
  float* out = y.data<float>();
  dispatch(x, [&](auto* px) {
    parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] = map_sum(
                     n, [](VecF32 v) HWY_ATTR { return v; }, px + i * n) /
                 static_cast<float>(n);
      }
    });
  });
}

void RowMeanBackward(const Tensor& dy, const Tensor& dx, bool accumulate) {
  const std::int64_t n = dx.cols();
  const float* grad = dy.data<float>();
  dispatch(dx, [&](auto* pdx) {
    parallel_for(dx.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto share = hn::Set(kF32, grad[i] / static_cast<float>(n));
        auto* row = pdx + i * n;
        map(
            n, [=](VecF32 old) HWY_ATTR { return accumulate ? hn::Add(old, share) : share; }, row,
            row);
      }
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(RowMeanForward);
HWY_EXPORT(RowMeanBackward);

void row_mean_forward(const Tensor& x, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(RowMeanForward)(x, y);
}
void row_mean_backward(const Tensor& dy, const Tensor& dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(RowMeanBackward)(dy, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
