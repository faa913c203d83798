#include "optim/adamw_cpu.h"

#include <vector>

#include "core/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "optim/adamw_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

static void adamw_piece(const cpu::AdamWStep& s, std::int64_t n, const float* grad, float* w,
                        float* m, float* v) {
  const auto one_minus_1 = hn::Set(kF32, 1 - s.beta1), beta1 = hn::Set(kF32, s.beta1);
  const auto one_minus_2 = hn::Set(kF32, 1 - s.beta2), beta2 = hn::Set(kF32, s.beta2);
  const auto scale = hn::Set(kF32, s.gradient_scale), eps = hn::Set(kF32, s.eps);
  const auto c1 = hn::Set(kF32, s.lr * s.correction1), c2 = hn::Set(kF32, s.correction2);
  const auto keep = hn::Set(kF32, 1 - s.lr * s.weight_decay);
  const std::int64_t step = lanes();
  const auto update = [&](auto vg, auto vw, auto& vm, auto& vv) HWY_ATTR {
    vg = hn::Mul(vg, scale);
    vm = hn::MulAdd(beta1, vm, hn::Mul(one_minus_1, vg));
    vv = hn::MulAdd(beta2, vv, hn::Mul(one_minus_2, hn::Mul(vg, vg)));
    const auto denominator = hn::Add(hn::Sqrt(hn::Mul(vv, c2)), eps);
    return hn::Sub(hn::Mul(vw, keep), hn::Div(hn::Mul(c1, vm), denominator));
  };
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    auto vm = load(m + i), vv = load(v + i);
    store(update(load(grad + i), load(w + i), vm, vv), w + i);
    store(vm, m + i);
    store(vv, v + i);
  }
  if (const std::int64_t rest = n - i; rest > 0) {
    auto vm = load_n(m + i, rest), vv = load_n(v + i, rest);
    store_n(update(load_n(grad + i, rest), load_n(w + i, rest), vm, vv), w + i, rest);
    store_n(vm, m + i, rest);
    store_n(vv, v + i, rest);
  }
}

void AdamW(const cpu::AdamWStep& s, std::int64_t n, const float* grad, float* w, float* m,
           float* v) {
  parallel_for(n, 1 << 15, [=](std::int64_t begin, std::int64_t end) {
    adamw_piece(s, end - begin, grad + begin, w + begin, m + begin, v + begin);
  });
}

double SumOfSquares(std::int64_t n, const float* x) {
  constexpr std::int64_t kChunk = 1 << 13;
  std::vector<float> sums(static_cast<std::size_t>((n + kChunk - 1) / kChunk));
  parallel_for(n, 8 * kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kChunk) {
      sums[static_cast<std::size_t>(i / kChunk)] = map_sum(
          std::min(kChunk, end - i), [](VecF32 a) HWY_ATTR { return hn::Mul(a, a); }, x + i);
    }
  });
  double sum = 0;
  for (const float s : sums) sum += s;
  return sum;
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {
HWY_EXPORT(AdamW);
HWY_EXPORT(SumOfSquares);
void adamw(const AdamWStep& step, std::int64_t n, const float* grad, float* w, float* m, float* v) {
  HWY_DYNAMIC_DISPATCH(AdamW)(step, n, grad, w, m, v);
}
double sum_of_squares(std::int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquares)(n, x);
}
}  // namespace stepstone::cpu
#endif
