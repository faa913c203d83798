#include "ops/mul/mul_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/mul/mul_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/column_sum-inl.h"
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

struct Product {
  HWY_INLINE VecF32 operator()(VecF32 u, VecF32 v) const { return hn::Mul(u, v); }
};

void Multiply(const Tensor& a, const Tensor& b, cpu::Broadcast kind, const Tensor& y,
              bool accumulate) {
  if (kind == cpu::Broadcast::none) return map_tensors(accumulate, Product{}, y, a, b);
  const std::int64_t n = a.cols();
  const float* pb = b.data<float>();
  dispatch(y, [&](auto* py) {
    const auto* pa = a.data<std::remove_pointer_t<decltype(py)>>();
    parallel_for(a.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (kind == cpu::Broadcast::row) {
          map_into(accumulate, n, Product{}, py + i * n, pa + i * n, pb);
        } else {
          const auto s = hn::Set(kF32, pb[i]);
          map_into(
              accumulate, n, [=](VecF32 v) HWY_ATTR { return hn::Mul(v, s); }, py + i * n,
              pa + i * n);
        }
      }
    });
  });
}

void MultiplyBackwardB(const Tensor& a, const Tensor& dy, cpu::Broadcast kind, const Tensor& db,
                       bool accumulate) {
  if (kind == cpu::Broadcast::none) return map_tensors(accumulate, Product{}, db, dy, a);
  const std::int64_t n = a.cols();
  float* out = db.data<float>();
  dispatch(a, [&](auto* pa) {
    const auto* pdy = dy.data<std::remove_pointer_t<decltype(pa)>>();
    if (kind == cpu::Broadcast::row) {
      column_sum(a.rows(), n, out, accumulate, [=](std::int64_t i, float* sum) HWY_ATTR {
        map(
            n, [](VecF32 old, VecF32 u, VecF32 v) HWY_ATTR { return hn::MulAdd(u, v, old); }, sum,
            sum, pa + i * n, pdy + i * n);
      });
      return;
    }
    parallel_for(a.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float dot = map_sum(n, Product{}, pa + i * n, pdy + i * n);
        out[i] = accumulate ? out[i] + dot : dot;
      }
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(Multiply);
HWY_EXPORT(MultiplyBackwardB);

void mul(const Tensor& a, const Tensor& b, Broadcast kind, const Tensor& y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(Multiply)(a, b, kind, y, accumulate);
}
void mul_backward_b(const Tensor& a, const Tensor& dy, Broadcast kind, const Tensor& db,
                    bool accumulate) {
  HWY_DYNAMIC_DISPATCH(MultiplyBackwardB)(a, dy, kind, db, accumulate);
}

}  // namespace stepstone::cpu
#endif
