// Elementary functions of f32 vectors. Polynomials are minimax fits; errors are measured in
// ops/activation/activation_test.cpp.
#if defined(STEPSTONE_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_MATH_INL_H
#undef STEPSTONE_MATH_INL_H
#else
#define STEPSTONE_MATH_INL_H
#endif

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// c0 + x (c1 + x (c2 + …))
template <typename... C>
HWY_INLINE VecF32 polynomial(VecF32 x, float c, C... higher) {
  if constexpr (sizeof...(higher) == 0) {
    return hn::Set(kF32, c);
  } else {
    return hn::MulAdd(x, polynomial(x, higher...), hn::Set(kF32, c));
  }
}

// e^x for x in [-87.33, 88.37], that of the nearer end outside; NaN stays NaN.
HWY_INLINE VecF32 exp_clamped(VecF32 x) {
  const hn::RebindToSigned<F32> di;
  const auto clamped = hn::Min(hn::Set(kF32, 88.37f), hn::Max(hn::Set(kF32, -87.33f), x));
  // e^x = 2^n e^r with |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to the integer n and leaves it in
  // the low bits; ln(2) comes in two parts so that n ln(2) is exact.
  const auto magic = hn::Set(kF32, 12582912.0f);
  const auto shifted = hn::MulAdd(clamped, hn::Set(kF32, 1.44269504f), magic);
  const auto n = hn::Sub(shifted, magic);
  auto r = hn::NegMulAdd(n, hn::Set(kF32, 0.693145752f), clamped);
  r = hn::NegMulAdd(n, hn::Set(kF32, 1.42860677e-6f), r);
  const auto p = polynomial(r, 1.0f, 1.0f, 0.49999994f, 0.16666520f, 0.041668404f, 0.0083688991f,
                            0.0013814222f);
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::BitCast(kF32, hn::Add(hn::BitCast(di, p), exponent));
}

// e^x; exactly 0 below -87.33 (so for -inf too), at most e^88.37; NaN stays NaN.
HWY_INLINE VecF32 exp(VecF32 x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(kF32, -87.33f)), exp_clamped(x));
}

// 1 + e^-x, the denominator of the logistic function.
HWY_INLINE VecF32 one_plus_exp_neg(VecF32 x) {
  return hn::Add(hn::Set(kF32, 1.0f), exp_clamped(hn::Neg(x)));
}

// 1 / (1 + e^-x)
HWY_INLINE VecF32 sigmoid(VecF32 x) { return hn::Div(hn::Set(kF32, 1.0f), one_plus_exp_neg(x)); }

HWY_INLINE VecF32 tanh(VecF32 x) {
  const auto one = hn::Set(kF32, 1.0f);
  const auto s = hn::Mul(x, x);
  const auto small = hn::MulAdd(
      hn::Mul(x, s),
      polynomial(s, -0.33333260f, 0.13330831f, -0.053688023f, 0.020469420f, -0.0055151642f), x);
  const auto e = hn::Add(exp_clamped(hn::Add(x, x)), one);
  const auto large = hn::Sub(one, hn::Div(hn::Set(kF32, 2.0f), e));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(kF32, 0.625f)), small, large);
}

// x P(x²) / Q(x²), exactly ±1 where f32 rounds to that.
HWY_INLINE VecF32 erf(VecF32 x) {
  const auto limit = hn::Set(kF32, 3.92f);
  const auto c = hn::Min(limit, hn::Max(hn::Neg(limit), x));
  const auto s = hn::Mul(c, c);
  const auto p = polynomial(s, 1.1283791f, 0.19354521f, 0.053101756f, 0.0038833469f, 0.00028456547f,
                            1.9867653e-6f);
  const auto q =
      polynomial(s, 1.0f, 0.50485754f, 0.11535005f, 0.015207258f, 0.0011855709f, 3.7420075e-5f);
  const auto y = hn::Div(hn::Mul(c, p), q);
  const auto saturated = hn::CopySign(hn::Set(kF32, 1.0f), x);
  return hn::IfThenElse(hn::Ge(hn::Abs(x), limit), saturated, y);
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
