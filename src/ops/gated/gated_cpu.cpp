#include "ops/gated/gated_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/gated/gated_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/activation/activation-inl.h"
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

void GatedForward(const Tensor& x, ops::Activation kind, const Tensor& y) {
  const std::int64_t n = y.cols();
  with_activation(kind, [&](auto f) {
    dispatch(y, [&](auto* py) {
      const auto* px = x.data<std::remove_pointer_t<decltype(py)>>();
      parallel_for(y.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto* gate = px + 2 * i * n;
          map(
              n, [=](VecF32 g, VecF32 u) HWY_ATTR { return hn::Mul(f.value(g), u); }, py + i * n,
              gate, gate + n);
        }
      });
    });
  });
}

// Both halves of a row in one walk: the slope and the value of f share their exponential.
template <bool kAccumulate, typename F, typename T>
HWY_INLINE void gated_backward_row(F f, std::int64_t n, const T* x, const T* dy, T* dx) {
  const auto step = [&](auto load_at, auto store_at) HWY_ATTR {
    const auto [value, slope] = f.both(load_at(x));
    const auto grad = load_at(dy);
    auto gate = hn::Mul(hn::Mul(grad, load_at(x + n)), slope);
    auto up = hn::Mul(grad, value);
    if constexpr (kAccumulate) {
      gate = hn::Add(load_at(static_cast<const T*>(dx)), gate);
      up = hn::Add(load_at(static_cast<const T*>(dx + n)), up);
    }
    store_at(gate, dx);
    store_at(up, dx + n);
  };
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) {
    step([i](const T* p) HWY_ATTR { return load(p + i); },
         [i](VecF32 v, T* p) HWY_ATTR { store(v, p + i); });
  }
  if (i < n) {
    step([=](const T* p) HWY_ATTR { return load_n(p + i, n - i); },
         [=](VecF32 v, T* p) HWY_ATTR { store_n(v, p + i, n - i); });
  }
}

void GatedBackward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                   bool accumulate) {
  const std::int64_t n = dy.cols();
  with_activation(kind, [&](auto f) {
    dispatch(dx, [&](auto* pdx) {
      using T = std::remove_pointer_t<decltype(pdx)>;
      const T* px = x.data<T>();
      const T* pdy = dy.data<T>();
      parallel_for(dy.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          if (accumulate) {
            gated_backward_row<true>(f, n, px + 2 * i * n, pdy + i * n, pdx + 2 * i * n);
          } else {
            gated_backward_row<false>(f, n, px + 2 * i * n, pdy + i * n, pdx + 2 * i * n);
          }
        }
      });
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(GatedForward);
HWY_EXPORT(GatedBackward);

void gated_forward(const Tensor& x, ops::Activation kind, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(GatedForward)(x, kind, y);
}
void gated_backward(const Tensor& x, ops::Activation kind, const Tensor& dy, const Tensor& dx,
                    bool accumulate) {
  HWY_DYNAMIC_DISPATCH(GatedBackward)(x, kind, dy, dx, accumulate);
}

}  // namespace stepstone::cpu
#endif
