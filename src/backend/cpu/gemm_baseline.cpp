// The GEMM kernels at the compiler's baseline: AVX2 + FMA on x86-64, NEON on Arm.
#include "backend/cpu/gemm_pack-inl.h"
#include "backend/cpu/gemm_tile-inl.h"

namespace stepstone::cpu {

constinit const GemmKernels kGemmBaseline = {
    kMr,     kNr,         multiply<F32Step>, multiply<WidenPairsStep>,
    nullptr, pack_panels, expand_pairs<kNr>, round_row};

}  // namespace stepstone::cpu
