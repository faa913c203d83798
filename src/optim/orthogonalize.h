// The polar factor of a matrix by polynomial iterations, as Muon needs it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace stepstone {

// Reused between calls of one thread.
struct OrthogonalizeWorkspace {
  std::vector<float> gram, poly, next;
};

// x [rows, cols] f32, in place: towards U Vᵀ of its singular value decomposition U S Vᵀ, by
// `iterations` (1 to 5) steps of X ← aX + (b A + c A²) X, A = X Xᵀ, with the Polar Express
// coefficients (arXiv:2505.16932). After five, singular values are within about 1 ± 0.15; after
// fewer, small ones stay smaller. A zero matrix stays zero. FLOPs: iterations · (4 n² m + 2 n³), n
// the shorter side.
void orthogonalize(float* x, std::int64_t rows, std::int64_t cols, int iterations, DType compute,
                   OrthogonalizeWorkspace& workspace);

}  // namespace stepstone
