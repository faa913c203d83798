// Quantised weights through vpdpbusd.
#if defined(__x86_64__)
#include <immintrin.h>

#include <array>

#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

// sum + Σ of the products of the four unsigned bytes of each unit of w and the signed ones of a.
// Highway 1.0 has no vpdpbusd.
HWY_INLINE Integer dot4(Integer sum, Unit w, Integer a) {
  sum.raw = _mm512_dpbusd_epi32(sum.raw, w.raw, a.raw);
  return sum;
}

// sum + Σ of the products of the two 16-bit integers of each lane.
HWY_INLINE Integer dot2(Integer sum, Integer a, Integer b) {
  sum.raw = _mm512_dpwssd_epi32(sum.raw, a.raw, b.raw);
  return sum;
}

}  // namespace
}  // namespace stepstone::cpu

#include "backend/cpu/block_tile-inl.h"

namespace stepstone::cpu {
constinit const BlockKernels kBlockAvx512Vnni = kBlockKernels;
}  // namespace stepstone::cpu
#endif
