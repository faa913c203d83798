#include "ops/activation/activation_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/activation/activation_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/activation/activation-inl.h"
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void ActivationForward(const Tensor& x, ops::Activation kind, const Tensor& y) {
  with_activation(kind, [&](auto f) {
    map_tensors(
        false, [=](VecF32 v) HWY_ATTR { return f.value(v); }, y, x);
  });
}

void ActivationBackward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                        bool accumulate) {
  with_activation(kind, [&](auto f) {
    map_tensors(
        accumulate, [=](VecF32 v, VecF32 g) HWY_ATTR { return hn::Mul(g, f.both(v).slope); }, dx, x,
        dy);
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(ActivationForward);
HWY_EXPORT(ActivationBackward);

void activation_forward(const Tensor& x, ops::Activation kind, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(ActivationForward)(x, kind, y);
}
void activation_backward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                         bool accumulate) {
  HWY_DYNAMIC_DISPATCH(ActivationBackward)(x, kind, dy, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
