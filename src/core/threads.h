// The one compute pool. Results never depend on its size: work is cut by a grain that the problem
// fixes, never by the number of threads, and sums are taken over such fixed pieces.
//
// A thread that waits spins for a few microseconds, then sleeps; and the caller of parallel_for
// waits only for threads that have taken a piece, never for one that the system has not woken yet.
// Where there are as many cores as threads, the workers are kept off the core of the caller.
// So a busy machine costs its share of speed and no more (docs/decisions.md, "threads").
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace stepstone {

// Number of threads of the pool, the caller included. Default: OMP_NUM_THREADS, else the cores
// that this process may use.
int num_threads();
// Throws UsageError beyond 1 to 1024. Not while kernels run.
void set_num_threads(int n);

// True on a thread that is running a piece: there, parallel_for runs on the calling thread.
bool in_parallel();

namespace threads_detail {
using Piece = void (*)(void* context, std::int64_t begin, std::int64_t end);
void run(std::int64_t n, std::int64_t grain, Piece piece, void* context);
}  // namespace threads_detail

// Calls fn(begin, end) over [0, n) in pieces of `grain` (the last may be shorter), in parallel.
// Which piece holds an index depends on n and grain alone. The first exception reaches the caller,
// after all pieces have ended. May be called from any thread: while the pool is taken, the work
// runs on the calling thread.
template <typename F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& fn) {
  using Fn = std::remove_reference_t<F>;
  threads_detail::run(
      n, grain,
      [](void* context, std::int64_t begin, std::int64_t end) {
        (*static_cast<Fn*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
}

}  // namespace stepstone
