#include "ops/add/add_cpu.h"

#include "core/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/add/add_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

constexpr std::int64_t kGrain = 1 << 15;

void Add(const Tensor& a, const Tensor& b, const Tensor& y) {
  dispatch(a, [&](auto* pa) {
    dispatch(b, [&](auto* pb) {
      dispatch(y, [&](auto* py) {
        parallel_for(y.numel(), kGrain, [=](std::int64_t begin, std::int64_t end) {
          map(
              end - begin, [](VecF32 u, VecF32 v) { return hn::Add(u, v); }, py + begin, pa + begin,
              pb + begin);
        });
      });
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {
HWY_EXPORT(Add);
void add(const Tensor& a, const Tensor& b, const Tensor& y) { HWY_DYNAMIC_DISPATCH(Add)(a, b, y); }
}  // namespace stepstone::cpu
#endif
