// The two sums of a row that softmax needs.
#if defined(STEPSTONE_SOFTMAX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_SOFTMAX_INL_H
#undef STEPSTONE_SOFTMAX_INL_H
#else
#define STEPSTONE_SOFTMAX_INL_H
#endif

#include <limits>

#include "ops/elementwise-inl.h"
#include "ops/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// `combine` over fn(p[i], i) for i in [0, n), in one fixed order; fn gets vectors and the index of
// their first element. The tail is padded with -inf.
template <typename T, typename Fn, typename Combine>
HWY_INLINE VecF32 reduce_row(std::int64_t n, const T* p, VecF32 start, Fn&& fn, Combine&& combine) {
  const std::int64_t step = lanes();
  VecF32 s0 = start, s1 = start, s2 = start, s3 = start;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = combine(s0, fn(load(p + i), i));
    s1 = combine(s1, fn(load(p + i + step), i + step));
    s2 = combine(s2, fn(load(p + i + 2 * step), i + 2 * step));
    s3 = combine(s3, fn(load(p + i + 3 * step), i + 3 * step));
  }
  for (; i + step <= n; i += step) s0 = combine(s0, fn(load(p + i), i));
  if (i < n) {
    const auto tail = hn::FirstN(kF32, static_cast<std::size_t>(n - i));
    const auto minus_infinity = hn::Set(kF32, -std::numeric_limits<float>::infinity());
    s1 = combine(s1, fn(hn::IfThenElse(tail, load_n(p + i, n - i), minus_infinity), i));
  }
  return combine(combine(s0, s1), combine(s2, s3));
}

// The largest element, in every lane.
template <typename T>
HWY_INLINE VecF32 row_max(std::int64_t n, const T* row) {
  return hn::MaxOfLanes(kF32, reduce_row(
                                  n, row, hn::Set(kF32, -std::numeric_limits<float>::infinity()),
                                  [](VecF32 v, std::int64_t) HWY_ATTR { return v; },
                                  [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Max(a, b); }));
}

// The sum of exp(row[i] - top); each goes to `out` unless that is null.
template <typename T, typename Out>
HWY_INLINE float row_sum_exp(std::int64_t n, const T* row, VecF32 top, Out out) {
  const auto one = [=](VecF32 v, std::int64_t i) HWY_ATTR {
    const auto e = exp(hn::Sub(v, top));
    if constexpr (std::is_pointer_v<Out>) {
      i + lanes() <= n ? store(e, out + i) : store_n(e, out + i, n - i);
    }
    return e;
  };
  return hn::GetLane(
      hn::SumOfLanes(kF32, reduce_row(n, row, hn::Zero(kF32), one,
                                      [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Add(a, b); })));
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
