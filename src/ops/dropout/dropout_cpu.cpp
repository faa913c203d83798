#include "ops/dropout/dropout_cpu.h"

#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/dropout/dropout_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

using U64 = hn::Repartition<std::uint64_t, F32>;
using U32 = hn::Repartition<std::uint32_t, F32>;
using VecU64 = hn::Vec<U64>;
using VecU32 = hn::Vec<U32>;

struct PhiloxBlock {
  VecU64 word0, word1, word2, word3;
};

// core/random.h's philox on one counter per 64-bit lane. Only the low half of each lane counts.
HWY_INLINE PhiloxBlock philox(VecU64 counter, const cpu::DropoutMask& mask) {
  const U64 d;
  const U32 d32;
  const auto multiply = [=](VecU64 a, VecU64 b) HWY_ATTR {
    return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, b));
  };
  const auto m0 = hn::Set(d, 0xD2511F53u), m1 = hn::Set(d, 0xCD9E8D57u);
  PhiloxBlock c{counter, hn::ShiftRight<32>(counter), hn::Set(d, mask.stream),
                hn::Set(d, mask.stream >> 32)};
  auto k0 = static_cast<std::uint32_t>(mask.seed);
  auto k1 = static_cast<std::uint32_t>(mask.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const auto p0 = multiply(c.word0, m0), p1 = multiply(c.word2, m1);
    c = {hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c.word1), hn::Set(d, k0)), p1,
         hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c.word3), hn::Set(d, k1)), p0};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// The 128 elements of group g, of which the first n exist.
template <typename T>
HWY_INLINE void dropout_group(std::uint64_t g, std::int64_t n, const T* x,
                              const cpu::DropoutMask& mask, T* y, bool accumulate) {
  const U64 d;
  const U32 d32;
  const std::uint32_t steps = cpu::dropped_steps(mask.p);
  const auto scale = hn::Set(kF32, 65536.0f / static_cast<float>(65536 - steps));
  const auto threshold = hn::Set(d32, steps);
  for (std::int64_t r = 0; r < 16; r += lanes()) {
    // Even counters in one block, odd ones in the other; their words interleave to one per lane.
    const auto first = hn::Set(d, 16 * g + static_cast<std::uint64_t>(r));
    const auto twice = hn::ShiftLeft<1>(hn::Iota(d, 0));
    const PhiloxBlock even = philox(hn::Add(first, twice), mask);
    const PhiloxBlock odd = philox(hn::Add(hn::Add(first, hn::Set(d, 1)), twice), mask);
    const auto apply = [&](std::int64_t at, VecU32 bits) HWY_ATTR {
      if (at >= n) return;
      const auto dropped = hn::RebindMask(kF32, hn::Lt(bits, threshold));
      map_into(
          accumulate, std::min(n - at, lanes()),
          [=](VecF32 v) HWY_ATTR { return hn::IfThenZeroElse(dropped, hn::Mul(v, scale)); }, y + at,
          x + at);
    };
    const auto word = [&](std::int64_t at, VecU64 a, VecU64 b) HWY_ATTR {
      const auto both = hn::OddEven(hn::BitCast(d32, hn::ShiftLeft<32>(b)), hn::BitCast(d32, a));
      apply(at + r, hn::And(both, hn::Set(d32, 0xffff)));
      apply(at + r + 16, hn::ShiftRight<16>(both));
    };
    word(0, even.word0, odd.word0);
    word(32, even.word1, odd.word1);
    word(64, even.word2, odd.word2);
    word(96, even.word3, odd.word3);
  }
}

void Dropout(const Tensor& x, const cpu::DropoutMask& mask, const Tensor& y, bool accumulate) {
  constexpr std::int64_t kGroup = 128;
  const std::int64_t n = y.numel();
  dispatch(y, [&](auto* py) {
    const auto* px = x.data<std::remove_pointer_t<decltype(py)>>();
    parallel_for((n + kGroup - 1) / kGroup, kElementGrain / kGroup,
                 [=, &mask](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t g = begin; g < end; ++g) {
                     const std::int64_t at = g * kGroup;
                     dropout_group(static_cast<std::uint64_t>(g), std::min(kGroup, n - at), px + at,
                                   mask, py + at, accumulate);
                   }
                 });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {
HWY_EXPORT(Dropout);
void dropout(const Tensor& x, const DropoutMask& mask, const Tensor& y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(Dropout)(x, mask, y, accumulate);
}
}  // namespace stepstone::cpu
#endif
