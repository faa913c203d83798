// What Highway kernels share: f32 vectors loaded from and stored to f32 or bf16 memory, and sums.
// Included once per target inside a foreach_target file, hence the reversible guard.
#if defined(STEPSTONE_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_SIMD_INL_H
#undef STEPSTONE_SIMD_INL_H
#else
#define STEPSTONE_SIMD_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VecF32 = hn::Vec<F32>;
inline constexpr F32 kF32;

HWY_INLINE std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(kF32)); }

HWY_INLINE VecF32 load(const float* p) { return hn::LoadU(kF32, p); }
HWY_INLINE VecF32 load(const bf16* p) {
  const hn::Rebind<std::uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  const auto half = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(kF32, hn::ShiftLeft<16>(hn::PromoteTo(d32, half)));
}

HWY_INLINE void store(VecF32 v, float* p) { hn::StoreU(v, kF32, p); }
// Rounds to nearest even, as core/dtype.h does; NaN stays NaN.
HWY_INLINE void store(VecF32 v, bf16* p) {
  const hn::Rebind<std::uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  const hn::RebindToSigned<F32> di32;
  const auto u = hn::BitCast(d32, v);
  const auto lsb = hn::And(hn::ShiftRight<16>(u), hn::Set(d32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(u, hn::Add(lsb, hn::Set(d32, 0x7fff))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(u), hn::Set(d32, 0x40));
  const auto is_nan = hn::RebindMask(d32, hn::IsNaN(v));
  const auto bits = hn::BitCast(di32, hn::IfThenElse(is_nan, quiet, rounded));
  hn::StoreU(hn::DemoteTo(d16, bits), d16, reinterpret_cast<std::uint16_t*>(p));
}

// The first n < lanes() elements, the rest zero; memory beyond them is not touched.
template <typename T>
HWY_INLINE VecF32 load_n(const T* p, std::int64_t n) {
#if !HWY_MEM_OPS_MIGHT_FAULT
  if constexpr (std::is_same_v<T, float>) {
    return hn::MaskedLoad(hn::FirstN(kF32, static_cast<std::size_t>(n)), kF32, p);
  }
#endif
  T buffer[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
  return load(buffer);
}
template <typename T>
HWY_INLINE void store_n(VecF32 v, T* p, std::int64_t n) {
#if !HWY_MEM_OPS_MIGHT_FAULT
  if constexpr (std::is_same_v<T, float>) {
    return hn::BlendedStore(v, hn::FirstN(kF32, static_cast<std::size_t>(n)), kF32, p);
  }
#endif
  T buffer[HWY_MAX_BYTES / sizeof(float)];
  store(v, buffer);
  std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
}

// out[i] = fn(in[i]...) for i in [0, n); fn maps vectors to a vector. The tail runs the same
// instructions on a padded vector, so an element's result does not depend on its place.
template <typename Out, typename Fn, typename... In>
HWY_INLINE void map(std::int64_t n, Fn&& fn, Out* out, const In*... in) {
  const std::int64_t step = lanes();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) store(fn(load(in + i)...), out + i);
  if (i < n) store_n(fn(load_n(in + i, n - i)...), out + i, n - i);
}

// Sum of fn(in[i]...) over [0, n), in one fixed order: four interleaved vector sums, added
// pairwise, then across lanes. fn must map zeros to zero (the tail is padded with them).
template <typename Fn, typename... In>
HWY_INLINE float map_sum(std::int64_t n, Fn&& fn, const In*... in) {
  const std::int64_t step = lanes();
  VecF32 s0 = hn::Zero(kF32), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, fn(load(in + i)...));
    s1 = hn::Add(s1, fn(load(in + i + step)...));
    s2 = hn::Add(s2, fn(load(in + i + 2 * step)...));
    s3 = hn::Add(s3, fn(load(in + i + 3 * step)...));
  }
  for (; i + step <= n; i += step) s0 = hn::Add(s0, fn(load(in + i)...));
  if (i < n) s1 = hn::Add(s1, fn(load_n(in + i, n - i)...));
  return hn::GetLane(hn::SumOfLanes(kF32, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
