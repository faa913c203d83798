// Quantised weights at the compiler's baseline: AVX2 on x86-64.
#include <array>

#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

// sum + Σ of the products of the four unsigned bytes of each unit of w and the signed ones of a.
HWY_INLINE Integer dot4(Integer sum, Unit w, Integer a) {
  const Integers di;
#if HWY_TARGET == HWY_AVX2
  // maddubs would saturate: 255 · 127 · 2 takes 17 bits. Even bytes, then odd ones.
  const hn::Repartition<std::int16_t, Full> d16;
  const hn::Repartition<std::uint16_t, Full> du16;
  const auto w16 = hn::BitCast(du16, w);
  const auto a16 = hn::BitCast(d16, a);
  const auto even = hn::And(w16, hn::Set(du16, 0x00ff));
  const auto odd = hn::ShiftRight<8>(w16);
  auto unused = hn::Zero(di);
  sum = hn::ReorderWidenMulAccumulate(di, hn::BitCast(d16, even),
                                      hn::ShiftRight<8>(hn::ShiftLeft<8>(a16)), sum, unused);
  return hn::ReorderWidenMulAccumulate(di, hn::BitCast(d16, odd), hn::ShiftRight<8>(a16), sum,
                                       unused);
#else
  const auto byte = hn::Set(Units(), 0xff);
  const auto product = [&](auto wi, auto ai) {
    return hn::Mul(hn::BitCast(di, hn::And(wi, byte)), hn::ShiftRight<24>(ai));
  };
  sum = hn::Add(sum, product(w, hn::ShiftLeft<24>(a)));
  sum = hn::Add(sum, product(hn::ShiftRight<8>(w), hn::ShiftLeft<16>(a)));
  sum = hn::Add(sum, product(hn::ShiftRight<16>(w), hn::ShiftLeft<8>(a)));
  return hn::Add(sum, product(hn::ShiftRight<24>(w), a));
#endif
}

// sum + Σ of the products of the two 16-bit integers of each lane.
HWY_INLINE Integer dot2(Integer sum, Integer a, Integer b) {
#if HWY_TARGET == HWY_AVX2
  const Integers di;
  const hn::Repartition<std::int16_t, Full> d16;
  auto unused = hn::Zero(di);
  return hn::ReorderWidenMulAccumulate(di, hn::BitCast(d16, a), hn::BitCast(d16, b), sum, unused);
#else
  const auto low = [](auto x) { return hn::ShiftRight<16>(hn::ShiftLeft<16>(x)); };
  sum = hn::Add(sum, hn::Mul(low(a), low(b)));
  return hn::Add(sum, hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b)));
#endif
}

}  // namespace
}  // namespace stepstone::cpu

#include "backend/cpu/block_tile-inl.h"

namespace stepstone::cpu {
constinit const BlockKernels kBlockBaseline = kBlockKernels;
}  // namespace stepstone::cpu
