#include "backend/cpu/gemm_plan.h"

#include <unistd.h>

#include <algorithm>

#include "core/div_up.h"

namespace stepstone::cpu {
namespace {

// Costs in cycles of an AVX-512 core, to weigh cuts against each other; only ratios matter.
constexpr double kMultiplyAdd = 1.0 / 32;  // two FMAs of 16 lanes per cycle
constexpr double kPackB = 0.35;            // per element, transposing, from beyond L2
constexpr double kPackA = 0.15;            // per element, from L2
constexpr double kReadB = 0.9;             // per packed element, from memory, while multiplying
constexpr std::int64_t kStreamedB = 4 << 20;
constexpr double kTask = 500;
constexpr double kFork = 5000;  // waking the pool and the barrier behind it

// What a task's block of B takes. Rows of A in place stream past a block in L2, the rest of which
// is for A, C and the prefetchers. Where A is packed, a group of its rows stays in L2 and the
// panels of B stream past that, one by one from L3: the wider the task, the fewer times A is
// packed.
std::int64_t block_b_bytes(bool pack_a) {
  static const std::int64_t l2 =
      std::clamp<std::int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE), 512 << 10, 4 << 20);
  return pack_a ? kStreamedB : l2 / 4 * 3;
}

// Sums outside C are rows × cols f32 per thread: bounded to keep them in L2 and L3.
constexpr std::int64_t kMaxScratchRows = 1024;

double task_cost(const GemmShapeInfo& s, std::int64_t rows, std::int64_t cols) {
  const double r = static_cast<double>(rows), c = static_cast<double>(cols);
  const double k = static_cast<double>(s.k);
  const double multiply = s.pack_b ? r * kMultiplyAdd : std::max(r * kMultiplyAdd, kReadB);
  return kTask + c * k * (multiply + (s.pack_b ? kPackB : 0)) + (s.pack_a ? r * k * kPackA : 0);
}

}  // namespace

GemmPlan plan_gemm(const GemmShapeInfo& s, const GemmKernels& kernels, int threads) {
  const std::int64_t panels = div_up(s.n, kernels.nr), strips = div_up(s.m, kernels.mr);
  const std::int64_t steps = div_up(block_depth(s.k, s.step), s.step);
  const std::int64_t max_panels =
      std::max<std::int64_t>(block_b_bytes(s.pack_a) / (steps * kernels.nr * 4), 1);
  const std::int64_t min_col_tasks = div_up(panels, max_panels);
  const std::int64_t min_row_tasks = s.scratch ? div_up(s.m, kMaxScratchRows) : 1;
  GemmPlan best;
  double best_cost = 0;
  const auto consider = [&](std::int64_t row_tasks, std::int64_t col_tasks, int team) {
    GemmPlan plan;
    plan.rows = div_up(strips, row_tasks) * kernels.mr;
    plan.cols = div_up(panels, col_tasks) * kernels.nr;
    plan.row_tasks = div_up(s.m, plan.rows);
    plan.col_tasks = div_up(s.n, plan.cols);
    plan.parallel = team > 1;
    const std::int64_t waves = div_up(plan.row_tasks * plan.col_tasks, team);
    const double cost =
        (team > 1 ? kFork : 0) + static_cast<double>(waves) * task_cost(s, std::min(plan.rows, s.m),
                                                                        std::min(plan.cols, s.n));
    if (best.rows == 0 || cost < best_cost) {
      best = plan;
      best_cost = cost;
    }
  };
  consider(min_row_tasks, min_col_tasks, 1);
  for (std::int64_t split = 1; threads > 1 && split <= threads; split *= 2) {
    const std::int64_t row_tasks = std::min(min_row_tasks * split, strips);
    for (std::int64_t extra = 0; extra < 2 * threads; ++extra) {
      consider(row_tasks, std::min(min_col_tasks + extra, panels), threads);
    }
  }
  return best;
}

}  // namespace stepstone::cpu
