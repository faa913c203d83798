#include "ops/columns/columns_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/columns/columns_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void ColumnsForward(const Tensor& x, std::int64_t first, const Tensor& y) {
  const std::int64_t n = y.cols(), stride = x.cols();
  dispatch(x, [&](auto* px) {
    auto* py = y.data<std::remove_pointer_t<decltype(px)>>();
    parallel_for(y.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        map(
            n, [](VecF32 v) HWY_ATTR { return v; }, py + i * n, px + i * stride + first);
      }
    });
  });
}

void ColumnsBackward(const Tensor& dy, std::int64_t first, const Tensor& dx, bool accumulate) {
  const std::int64_t n = dy.cols(), stride = dx.cols();
  dispatch(dx, [&](auto* pdx) {
    const auto* pdy = dy.data<std::remove_pointer_t<decltype(pdx)>>();
    parallel_for(dx.rows(), row_grain(stride), [=](std::int64_t begin, std::int64_t end) {
      if (!accumulate) {
        std::memset(pdx + begin * stride, 0,
                    static_cast<std::size_t>((end - begin) * stride) * sizeof(*pdx));
      }
      for (std::int64_t i = begin; i < end; ++i) {
        map_into(
            accumulate, n, [](VecF32 v) HWY_ATTR { return v; }, pdx + i * stride + first,
            pdy + i * n);
      }
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(ColumnsForward);
HWY_EXPORT(ColumnsBackward);

void columns_forward(const Tensor& x, std::int64_t begin, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(ColumnsForward)(x, begin, y);
}
void columns_backward(const Tensor& dy, std::int64_t begin, const Tensor& dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(ColumnsBackward)(dy, begin, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
