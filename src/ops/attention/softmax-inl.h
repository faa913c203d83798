// exp2 and the masking of scores, on rows of a block of keys.
#if defined(STEPSTONE_ATTENTION_SOFTMAX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_ATTENTION_SOFTMAX_INL_H
#undef STEPSTONE_ATTENTION_SOFTMAX_INL_H
#else
#define STEPSTONE_ATTENTION_SOFTMAX_INL_H
#endif

#include <limits>
#include <numbers>

#include "ops/attention/attention_config.h"
#include "ops/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

inline constexpr float kLog2E = static_cast<float>(std::numbers::log2e);

// 2^x for x < 128 within 1 ulp; exactly 1 at 0 and 0 for x <= -127 (-inf too). NaN stays NaN.
// 2^x = 2^n 2^r with n the nearest integer; 2^r by a minimax polynomial on [-1/2, 1/2].
static HWY_INLINE VecF32 exp2(VecF32 x) {
  const hn::RebindToSigned<F32> di;
  // Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
  const auto magic = hn::Set(kF32, 12582912.0f);
  x = hn::Max(hn::Set(kF32, -127.0f), x);
  const auto shifted = hn::Add(x, magic);
  const auto r = hn::Sub(x, hn::Sub(shifted, magic));
  const auto p = polynomial(r, 1.0f, 0x1.62e430p-1f, 0x1.ebfbdcp-3f, 0x1.c6aee8p-5f, 0x1.3b2d4cp-7f,
                            0x1.5f3e54p-10f, 0x1.41fbbcp-13f);
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::BitCast(kF32, hn::Add(hn::BitCast(di, p), exponent));
}

// How raw scores q.k become exponents of two: x = factor * score, or factor * tanh(inner * score).
struct ScoreScale {
  explicit ScoreScale(const ops::AttentionConfig& c)
      : capped(c.softcap > 0),
        factor(kLog2E * (capped ? c.softcap : c.scale)),
        inner(capped ? c.scale / c.softcap : 0) {}
  bool capped;
  float factor, inner;
};

// Sets s[j] to -inf outside keys [begin, end) for the `cols` first keys of a block.
static HWY_INLINE void mask_row(float* s, std::int64_t cols, std::int64_t begin, std::int64_t end) {
  const auto hidden = hn::Set(kF32, -std::numeric_limits<float>::infinity());
  const auto first = [](std::int64_t n) HWY_ATTR {
    return hn::FirstN(kF32, static_cast<std::size_t>(std::min(n, lanes())));
  };
  begin = std::min(begin, cols);
  end = std::max<std::int64_t>(end, 0);
  for (std::int64_t j = 0; j < begin; j += lanes()) {
    store(hn::IfThenElse(first(begin - j), hidden, load(s + j)), s + j);
  }
  for (std::int64_t j = end / lanes() * lanes(); j < cols; j += lanes()) {
    store(hn::IfThenElse(first(std::max<std::int64_t>(end - j, 0)), load(s + j), hidden), s + j);
  }
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
