#include "ops/scale/scale_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/scale/scale_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void Scale(const Tensor& x, float factor, const Tensor& y, bool accumulate) {
  map_tensors(
      accumulate, [=](VecF32 v) HWY_ATTR { return hn::Mul(v, hn::Set(kF32, factor)); }, y, x);
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {
HWY_EXPORT(Scale);
void scale(const Tensor& x, float factor, const Tensor& y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(Scale)(x, factor, y, accumulate);
}
}  // namespace stepstone::cpu
#endif
