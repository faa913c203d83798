// The activation functions and their derivatives on vectors.
#if defined(STEPSTONE_ACTIVATION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_ACTIVATION_INL_H
#undef STEPSTONE_ACTIVATION_INL_H
#else
#define STEPSTONE_ACTIVATION_INL_H
#endif

#include "ops/activation/activation.h"
#include "ops/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

struct ValueSlope {
  VecF32 value, slope;
};

struct Silu {
  static HWY_INLINE VecF32 value(VecF32 x) { return hn::Div(x, one_plus_exp_neg(x)); }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    const auto s = sigmoid(x);
    const auto y = hn::Mul(x, s);
    return {y, hn::MulAdd(y, hn::Sub(hn::Set(kF32, 1.0f), s), s)};
  }
};

struct GeluErf {
  static HWY_INLINE VecF32 normal_cdf(VecF32 x) {
    const auto half = hn::Set(kF32, 0.5f);
    return hn::MulAdd(half, erf(hn::Mul(x, hn::Set(kF32, 0.70710678f))), half);
  }
  static HWY_INLINE VecF32 value(VecF32 x) { return hn::Mul(x, normal_cdf(x)); }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    const auto cdf = normal_cdf(x);
    const auto density =
        hn::Mul(exp(hn::Mul(hn::Mul(x, x), hn::Set(kF32, -0.5f))), hn::Set(kF32, 0.39894228f));
    return {hn::Mul(x, cdf), hn::MulAdd(x, density, cdf)};
  }
};

// (1 + tanh(u)) / 2 is sigmoid(2u).
struct GeluTanh {
  static constexpr float kLinear = 1.59576912f;   // 2 sqrt(2 / pi)
  static constexpr float kCubic = 0.0713548163f;  // 0.044715 of it
  static HWY_INLINE VecF32 argument(VecF32 x) {
    return hn::Mul(x, polynomial(hn::Mul(x, x), kLinear, kCubic));
  }
  static HWY_INLINE VecF32 value(VecF32 x) { return hn::Div(x, one_plus_exp_neg(argument(x))); }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    const auto s = sigmoid(argument(x));
    const auto y = hn::Mul(x, s);
    const auto inner = polynomial(hn::Mul(x, x), kLinear, 3 * kCubic);
    return {y, hn::MulAdd(hn::Mul(y, hn::Sub(hn::Set(kF32, 1.0f), s)), inner, s)};
  }
};

struct Relu {
  static HWY_INLINE VecF32 value(VecF32 x) { return hn::IfThenZeroElse(hn::Lt(x, zero()), x); }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    return {value(x), hn::IfThenElseZero(hn::Gt(x, zero()), hn::Set(kF32, 1.0f))};
  }
  static HWY_INLINE VecF32 zero() { return hn::Zero(kF32); }
};

struct Relu2 {
  static HWY_INLINE VecF32 value(VecF32 x) {
    const auto r = Relu::value(x);
    return hn::Mul(r, r);
  }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    const auto r = Relu::value(x);
    return {hn::Mul(r, r), hn::Add(r, r)};
  }
};

struct Tanh {
  static HWY_INLINE VecF32 value(VecF32 x) { return tanh(x); }
  static HWY_INLINE ValueSlope both(VecF32 x) {
    const auto y = tanh(x);
    return {y, hn::NegMulAdd(y, y, hn::Set(kF32, 1.0f))};
  }
};

// Calls fn with the function object of `kind`.
template <typename Fn>
void with_activation(ops::Activation kind, Fn&& fn) {
  switch (kind) {
    case ops::Activation::silu:
      return fn(Silu{});
    case ops::Activation::gelu_erf:
      return fn(GeluErf{});
    case ops::Activation::gelu_tanh:
      return fn(GeluTanh{});
    case ops::Activation::relu:
      return fn(Relu{});
    case ops::Activation::relu2:
      return fn(Relu2{});
    case ops::Activation::tanh:
      return fn(Tanh{});
  }
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
