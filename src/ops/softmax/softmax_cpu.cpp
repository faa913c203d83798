#include "ops/softmax/softmax_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/softmax/softmax_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/softmax/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void SoftmaxForward(const Tensor& x, const Tensor& y) {
  const std::int64_t n = x.cols();
  dispatch(y, [&](auto* py) {
    const auto* px = x.data<std::remove_pointer_t<decltype(py)>>();
    parallel_for(x.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto* row = px + i * n;
        const auto top = row_max(n, row);
        const float sum = row_sum_exp(n, row, top, nullptr);
        const auto factor = hn::Set(kF32, 1 / sum);
        map(
            n, [=](VecF32 v) HWY_ATTR { return hn::Mul(exp(hn::Sub(v, top)), factor); }, py + i * n,
            row);
      }
    });
  });
}

void SoftmaxBackward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate) {
  const std::int64_t n = y.cols();
  dispatch(dx, [&](auto* pdx) {
    using T = std::remove_pointer_t<decltype(pdx)>;
    const T* py = y.data<T>();
    const T* pdy = dy.data<T>();
    parallel_for(y.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto dot =
            hn::Set(kF32, map_sum(
                              n, [](VecF32 v, VecF32 g) HWY_ATTR { return hn::Mul(v, g); },
                              py + i * n, pdy + i * n));
        map_into(
            accumulate, n, [=](VecF32 v, VecF32 g) HWY_ATTR { return hn::Mul(v, hn::Sub(g, dot)); },
            pdx + i * n, py + i * n, pdy + i * n);
      }
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(SoftmaxForward);
HWY_EXPORT(SoftmaxBackward);

void softmax_forward(const Tensor& x, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(SoftmaxForward)(x, y);
}
void softmax_backward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(y, dy, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
