// How a product is cut into blocks and tasks. None of it changes a result, except block_depth(),
// which depends on k alone.
#pragma once

#include <cstdint>

#include "backend/cpu/gemm_kernels.h"

namespace stepstone::cpu {

// Steps of the blocks of k. A strip of A (8 rows of at most 1,024 units, 32 KiB) and the panel of B
// that it meets come from L2: the panel has driven the strip out of L1 whatever the depth. Deeper
// blocks would save passes over C, shallower ones leave L2 room for more panels.
inline constexpr std::int64_t kMaxSteps = 1024;

// Depth of the blocks of k, for `step` of k to a unit: blocks of equal depth rather than full ones
// and a rest; a multiple of 16 steps, one cache line of transposed units.
constexpr std::int64_t block_depth(std::int64_t k, std::int64_t step) {
  const std::int64_t most = kMaxSteps * step, line = 16 * step;
  if (k <= most) return k;
  const std::int64_t blocks = (k + most - 1) / most;
  return ((k + blocks - 1) / blocks + line - 1) / line * line;
}

// Rows of A that are packed at a time where it cannot be read in place. From a transposed A each k
// gives one run of 64 elements, 4 lines, where a single strip would fetch half a line, and the
// second half again later. Two groups of 64 × 1,024 units are 512 KiB of L2.
inline constexpr std::int64_t kPackedRows = 64;
static_assert(kPackedRows % kMaxTileRows == 0);

struct GemmShapeInfo {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t step = 1;  // of k to a unit of the panels that are multiplied
  bool pack_b = false;    // B has to be packed as part of the product
  bool pack_a = false;    // strips of A have to be packed
  bool scratch = false;   // sums between blocks of k are kept outside C
};

// Tasks of `rows` × `cols` elements of C (the last ones smaller), each computed by one thread from
// its own packed block of B.
struct GemmPlan {
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_tasks = 0, col_tasks = 0;
  bool parallel = false;
};

GemmPlan plan_gemm(const GemmShapeInfo& shape, const GemmKernels& kernels, int threads);

}  // namespace stepstone::cpu
