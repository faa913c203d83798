#include "ops/inverse_sqrt/inverse_sqrt_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/inverse_sqrt/inverse_sqrt_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void InverseSqrtForward(const Tensor& x, float eps, const Tensor& y) {
  map_tensors(
      false,
      [=](VecF32 v) HWY_ATTR {
        return hn::Div(hn::Set(kF32, 1.0f), hn::Sqrt(hn::Add(v, hn::Set(kF32, eps))));
      },
      y, x);
}

void InverseSqrtBackward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate) {
  map_tensors(
      accumulate,
      [](VecF32 v, VecF32 g)
          HWY_ATTR { return hn::Mul(hn::Mul(g, hn::Set(kF32, -0.5f)), hn::Mul(v, hn::Mul(v, v))); },
      dx, y, dy);
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(InverseSqrtForward);
HWY_EXPORT(InverseSqrtBackward);

void inverse_sqrt_forward(const Tensor& x, float eps, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(InverseSqrtForward)(x, eps, y);
}
void inverse_sqrt_backward(const Tensor& y, const Tensor& dy, const Tensor& dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(InverseSqrtBackward)(y, dy, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
