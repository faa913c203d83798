// The GEMM kernels for AVX-512 (F, BW, CD, DQ, VL).
#if defined(__x86_64__)
#include "backend/cpu/gemm_pack-inl.h"
#include "backend/cpu/gemm_tile-inl.h"

namespace stepstone::cpu {

constinit const GemmKernels kGemmAvx512 = {kMr,
                                           kNr,
                                           multiply<F32Step>,
                                           multiply<WidenPairsStep<bf16>>,
                                           multiply<WidenPairsStep<f16>>,
                                           nullptr,
                                           pack_panels,
                                           expand_pairs<bf16, kNr>,
                                           expand_pairs<f16, kNr>,
                                           round_row};

}  // namespace stepstone::cpu
#endif
