// The one compute pool (OpenMP). Results never depend on its size: work is cut by a grain that
// the problem fixes, never by the number of threads, and sums are taken over such fixed pieces.
#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>

namespace stepstone {

// Number of threads of the pool. Default: OMP_NUM_THREADS, else the cores this process may use.
int num_threads();
void set_num_threads(int n);

// Calls fn(begin, end) over [0, n) in pieces of `grain` (the last may be shorter), in parallel.
// Which piece holds an index depends on n and grain alone. Exceptions reach the caller.
template <typename F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& fn) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const std::int64_t pieces = (n + grain - 1) / grain;
  if (pieces == 1 || num_threads() == 1 || omp_in_parallel()) {
    for (std::int64_t p = 0; p < pieces; ++p) {
      fn(p * grain, p * grain + grain < n ? p * grain + grain : n);
    }
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads())
  for (std::int64_t p = 0; p < pieces; ++p) {
    try {
      fn(p * grain, p * grain + grain < n ? p * grain + grain : n);
    } catch (...) {
#pragma omp critical(stepstone_parallel_for)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace stepstone
