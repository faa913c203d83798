// The matrix-product rate of this machine, against which training speed is stated.
#pragma once

#include "core/dtype.h"

namespace stepstone {

// FLOP/s of our own GEMM at 768³ in `compute` on the whole pool: the best of a few runs, about
// 30 ms, measured at the first call per dtype.
double peak_rate(DType compute);

}  // namespace stepstone
