#include "ops/linear/bias_gradient_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/linear/bias_gradient_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/column_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void BiasGradient(const Tensor& dy, const Tensor& dbias, bool accumulate) {
  const std::int64_t n = dy.cols();
  dispatch(dy, [&](auto* pdy) HWY_ATTR {
    column_sum(
        dy.rows(), n, dbias.data<float>(), accumulate, [=](std::int64_t i, float* sum) HWY_ATTR {
          map(
              n, [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Add(a, b); }, sum, sum, pdy + i * n);
        });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {
HWY_EXPORT(BiasGradient);
void bias_gradient(const Tensor& dy, const Tensor& dbias, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(BiasGradient)(dy, dbias, accumulate);
}
}  // namespace stepstone::cpu
#endif
