#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/threads_testing.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace stepstone {
namespace {

// Long enough to bridge the serial code between two kernels, short enough to leave the core to
// others when there is none.
constexpr auto kSpin = std::chrono::microseconds(40);

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Spins while `value` equals `old`, then sleeps until it is told otherwise.
void wait_for_change(const std::atomic<std::uint64_t>& value, std::uint64_t old) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

// Keeps workers off the core that the caller computes on. Left to itself, the system may wake a
// worker there beside an idle core: it then waits until the caller has done all the work alone.
#if defined(__linux__)
class Placement {
 public:
  Placement() {
    if (sched_getaffinity(0, sizeof allowed_, &allowed_) != 0) CPU_ZERO(&allowed_);
  }

  // From the calling thread, before it wakes the workers. Costs a system call per worker, but only
  // where the caller has changed its core. Nothing to do where threads outnumber the cores.
  void keep_off_this_core(std::vector<std::thread>& workers) {
    const int core = sched_getcpu();
    if (core == callers_ && placed_ == workers.size()) return;
    callers_ = core;
    placed_ = workers.size();
    if (core < 0 || core >= CPU_SETSIZE || CPU_COUNT(&allowed_) <= static_cast<int>(placed_))
      return;
    cpu_set_t others = allowed_;
    CPU_CLR(core, &others);
    for (std::thread& worker : workers) {
      // A failure (a core was taken from the process) leaves the choice to the system.
      static_cast<void>(pthread_setaffinity_np(worker.native_handle(), sizeof others, &others));
    }
  }

 private:
  cpu_set_t allowed_;
  int callers_ = -1;
  std::size_t placed_ = 0;
};
#else
struct Placement {
  void keep_off_this_core(std::vector<std::thread>&) {}
};
#endif

thread_local bool inside = false;

enum class Cut : char { as_asked, finest, finest_backwards };
std::atomic<Cut> cut = Cut::as_asked;  // threads_testing.h

class Pool {
 public:
  void resize(int threads) {
    const std::lock_guard lock(caller_);
    start_workers(threads - 1);
    size_.store(threads, std::memory_order_relaxed);
  }
  int size() const { return size_.load(std::memory_order_relaxed); }

  void run(std::int64_t n, std::int64_t grain, threads_detail::Piece piece, void* context) {
    const std::int64_t pieces = (n + grain - 1) / grain;
    std::unique_lock lock(caller_, std::try_to_lock);
    if (pieces == 1 || size() == 1 || inside || !lock.owns_lock()) {
      if (lock.owns_lock()) lock.unlock();
      for (std::int64_t p = 0; p < pieces; ++p) {
        piece(context, p * grain, std::min(n, (p + 1) * grain));
      }
      return;
    }
    start_workers(size() - 1);
    n_ = n;
    grain_ = grain;
    pieces_ = pieces;
    piece_ = piece;
    context_ = context;
    failure_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    placement_.keep_off_this_core(workers_);
    const std::uint64_t job = (state_.load(std::memory_order_relaxed) & kEpochMask) + kEpochOne;
    state_.store(job | kOpen, std::memory_order_release);
    state_.notify_all();
    take_pieces();
    // Closed: from here on nobody joins. Then wait for those who have.
    std::uint64_t now = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while ((now & kActiveMask) != 0) {
      wait_for_change(state_, now);
      now = state_.load(std::memory_order_acquire);
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // state_: [epoch : 47][open : 1][active workers : 16]
  static constexpr std::uint64_t kActiveMask = 0xffff;
  static constexpr std::uint64_t kOpen = 0x10000;
  static constexpr std::uint64_t kEpochOne = 0x20000;
  static constexpr std::uint64_t kEpochMask = ~(kActiveMask | kOpen);

  void start_workers(int count) {
    while (static_cast<int>(workers_.size()) < count) {
      workers_.emplace_back(&Pool::work, this, static_cast<int>(workers_.size()));
    }
  }

  void work(int index) {
    inside = true;
    std::uint64_t seen = 0;  // epoch of the last job looked at
    for (;;) {
      std::uint64_t now = state_.load(std::memory_order_acquire);
      if ((now & kEpochMask) == seen || (now & kOpen) == 0) {
        wait_for_change(state_, now);
        continue;
      }
      seen = now & kEpochMask;
      if (index + 1 >= size()) continue;
      bool joined = false;
      while ((now & kEpochMask) == seen && (now & kOpen) != 0 && !joined) {
        joined = state_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel);
      }
      if (!joined) continue;
      take_pieces();
      state_.fetch_sub(1, std::memory_order_acq_rel);
      state_.notify_all();
    }
  }

  void take_pieces() {
    const bool was_inside = std::exchange(inside, true);
    for (;;) {
      const std::int64_t p = next_.fetch_add(1, std::memory_order_relaxed);
      if (p >= pieces_) break;
      try {
        piece_(context_, p * grain_, std::min(n_, (p + 1) * grain_));
      } catch (...) {
        const std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
    inside = was_inside;
  }

  std::mutex caller_;
  std::atomic<int> size_{1};
  std::vector<std::thread> workers_;  // never joined: they sleep until the process ends
  Placement placement_;
  alignas(64) std::atomic<std::uint64_t> state_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  std::int64_t n_ = 0, grain_ = 1, pieces_ = 0;
  threads_detail::Piece piece_ = nullptr;
  void* context_ = nullptr;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

int default_threads() {
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1 && n <= 1024) return n;
  }
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 1024);
}

// Never destroyed: its threads sleep until the process ends.
Pool& pool() {
  static Pool* instance = [] {
    auto* p = new Pool;
    p->resize(default_threads());
    return p;
  }();
  return *instance;
}

}  // namespace

int num_threads() { return pool().size(); }

void set_num_threads(int n) {
  require<UsageError>(n >= 1 && n <= 1024, "threads: expected 1 to 1024, got {}", n);
  pool().resize(n);
}

bool in_parallel() { return inside; }

FinestPieces::FinestPieces(bool backwards) {
  cut = backwards ? Cut::finest_backwards : Cut::finest;
}
FinestPieces::~FinestPieces() { cut = Cut::as_asked; }

namespace threads_detail {

void run(std::int64_t n, std::int64_t grain, Piece piece, void* context) {
  if (n <= 0) return;
  const Cut now = cut.load(std::memory_order_relaxed);
  if (now == Cut::finest_backwards) [[unlikely]] {
    for (std::int64_t i = n; i > 0; --i) piece(context, i - 1, i);
    return;
  }
  pool().run(n, now == Cut::finest ? 1 : std::max<std::int64_t>(1, grain), piece, context);
}

}  // namespace threads_detail
}  // namespace stepstone
