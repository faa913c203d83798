// The GEMM kernels for AVX-512 whose bf16 products go through vdpbf16ps.
#if defined(__x86_64__)
#include <immintrin.h>

#include "backend/cpu/gemm_pack-inl.h"
#include "backend/cpu/gemm_tile-inl.h"

namespace stepstone::cpu {
namespace {

// Highway 1.0 has no vdpbf16ps.
struct DotPairsStep {
  template <int MR, int NV>
  HWY_INLINE static void run(Sums<MR, NV>& sums, const std::byte* const* a, std::ptrdiff_t at,
                             std::ptrdiff_t, const std::byte* b) {
    const auto* columns = reinterpret_cast<const __m512i*>(b);
    __m512i pairs[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) pairs[v] = _mm512_load_si512(columns + v);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      int pair;
      __builtin_memcpy(&pair, a[i] + at, sizeof pair);
      const __m512i value = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        sums.at[i][v].raw =
            _mm512_dpbf16_ps(sums.at[i][v].raw, (__m512bh)value, (__m512bh)pairs[v]);
      }
    }
  }
  static constexpr int kUnits = 1;
};

}  // namespace

constinit const GemmKernels kGemmAvx512Bf16 = {kMr,
                                               kNr,
                                               multiply<F32Step>,
                                               multiply<WidenPairsStep<bf16>>,
                                               multiply<WidenPairsStep<f16>>,
                                               multiply<DotPairsStep>,
                                               pack_panels,
                                               expand_pairs<bf16, kNr>,
                                               expand_pairs<f16, kNr>,
                                               round_row};

}  // namespace stepstone::cpu
#endif
