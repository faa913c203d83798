// The GEMM kernels at the compiler's baseline: AVX2 + FMA on x86-64, NEON on Arm.
#include "backend/cpu/gemm_pack-inl.h"
#include "backend/cpu/gemm_tile-inl.h"

namespace stepstone::cpu {

constinit const GemmKernels kGemmBaseline = {kMr,
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
