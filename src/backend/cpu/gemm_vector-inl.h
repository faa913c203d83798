// Vector helpers of the GEMM kernels. Included by one file per instruction set, each compiled with
// its own flags; everything here has internal linkage, so that no copy built for a higher
// instruction set can stand in for a lower one's.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

#if defined(__x86_64__) && HWY_TARGET != HWY_AVX2 && HWY_TARGET != HWY_AVX3
#error "gemm: unexpected Highway target; see the compile flags in src/backend/CMakeLists.txt"
#endif

namespace stepstone::cpu {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3
using Full = hn::CappedTag<float, 16>;
#elif HWY_TARGET == HWY_AVX2
using Full = hn::CappedTag<float, 8>;
#else
using Full = hn::CappedTag<float, 4>;
#endif

template <typename D>
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

using Eight = hn::CappedTag < float, kLanes<Full><8 ? kLanes<Full> : 8>;

template <typename D>
using U32 = hn::Repartition<std::uint32_t, D>;

using Floats = hn::Vec<Full>;
using Units = U32<Full>;
using Unit = hn::Vec<Units>;
using Integers = hn::Repartition<std::int32_t, Full>;
using Integer = hn::Vec<Integers>;

// To nearest even, as bf16(float) in core/dtype.h does; the lower half of the result is zero.
template <typename D, typename V = hn::Vec<D>>
V round_to_bf16(D d, V value) {
  const U32<D> du;
  const auto u = hn::BitCast(du, value);
  const auto lsb = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1));
  const auto rounded = hn::Add(u, hn::Add(lsb, hn::Set(du, 0x7fff)));
  const auto nan = hn::RebindMask(du, hn::IsNaN(value));
  const auto quiet = hn::Or(u, hn::Set(du, 0x400000));
  return hn::BitCast(d, hn::And(hn::IfThenElse(nan, quiet, rounded), hn::Set(du, 0xffff0000u)));
}

template <typename D>
hn::Vec<D> load_bf16(D d, const void* from) {
  const hn::Rebind<std::uint16_t, D> d16;
  const U32<D> du;
  const auto bits = hn::LoadU(d16, static_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

// `value` must be rounded to bf16.
template <typename D, typename V = hn::Vec<D>>
void store_bf16(D, V value, void* to) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::Rebind<std::int32_t, D> di;
  const U32<D> du;
  const auto bits = hn::BitCast(di, hn::ShiftRight<16>(hn::BitCast(du, value)));
  hn::StoreU(hn::DemoteTo(d16, bits), d16, static_cast<std::uint16_t*>(to));
}

// Pairs of T, bf16 or f16, to the f32 of their lower and upper halves.
template <typename T, typename D, typename VU>
HWY_INLINE hn::Vec<D> lower_of(D d, VU pairs) {
  if constexpr (std::is_same_v<T, bf16>) {
    return hn::BitCast(d, hn::ShiftLeft<16>(pairs));
  } else {
    const hn::Rebind<std::uint16_t, D> d16;
    const hn::Rebind<hwy::float16_t, D> half;
    return hn::PromoteTo(d, hn::BitCast(half, hn::TruncateTo(d16, pairs)));
  }
}
template <typename T, typename D, typename VU>
HWY_INLINE hn::Vec<D> upper_of(D d, VU pairs) {
  if constexpr (std::is_same_v<T, bf16>) {
    return hn::BitCast(d, hn::And(pairs, hn::Set(U32<D>(), 0xffff0000u)));
  } else {
    return lower_of<T>(d, hn::ShiftRight<16>(pairs));
  }
}
// Pairs of bf16 from rounded values.
template <typename D, typename V = hn::Vec<D>>
hn::Vec<U32<D>> pairs_of(D, V lower, V upper) {
  const U32<D> du;
  return hn::Or(hn::ShiftRight<16>(hn::BitCast(du, lower)), hn::BitCast(du, upper));
}

}  // namespace
}  // namespace stepstone::cpu
