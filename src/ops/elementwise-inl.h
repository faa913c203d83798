// What element-wise ops share.
#if defined(STEPSTONE_ELEMENTWISE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_ELEMENTWISE_INL_H
#undef STEPSTONE_ELEMENTWISE_INL_H
#else
#define STEPSTONE_ELEMENTWISE_INL_H
#endif

#include <type_traits>

#include "backend/cpu/simd-inl.h"
#include "core/tensor.h"
#include "core/threads.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// Elements per task: work enough to pay for handing it out, and a constant, so that results do not
// depend on the thread count.
inline constexpr std::int64_t kElementGrain = 1 << 13;
static inline std::int64_t row_grain(std::int64_t n) {
  return std::max<std::int64_t>(1, kElementGrain / (n + 1));
}

// out[i] (+)= fn(in[i]...) for i in [0, n).
template <typename Out, typename Fn, typename... In>
HWY_INLINE void map_into(bool accumulate, std::int64_t n, Fn&& fn, Out* out, const In*... in) {
  if (accumulate) {
    map(
        n, [&](VecF32 old, auto... v) HWY_ATTR { return hn::Add(old, fn(v...)); }, out,
        static_cast<const Out*>(out), in...);
  } else {
    map(n, fn, out, in...);
  }
}

// The same over whole tensors of one dtype, in parallel.
template <typename Fn, typename... In>
void map_tensors(bool accumulate, Fn&& fn, const Tensor& out, const In&... in) {
  dispatch(out, [&](auto* p) {
    using T = std::remove_pointer_t<decltype(p)>;
    const auto run = [&](const auto*... q) {
      parallel_for(out.numel(), kElementGrain, [=, &fn](std::int64_t begin, std::int64_t end) {
        map_into(accumulate, end - begin, fn, p + begin, q + begin...);
      });
    };
    run(in.template data<T>()...);
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
