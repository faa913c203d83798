// Time and arithmetic spent per op.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace stepstone {

enum class Pass : std::uint8_t { forward, backward };

class Profiler {
 public:
  struct Entry {
    std::int64_t calls = 0;
    double seconds = 0;
    double flops = 0;
  };
  void add(std::string_view op, Pass pass, double seconds) {
    Entry& entry = entries_[{std::string(op), pass}];
    ++entry.calls;
    entry.seconds += seconds;
  }
  void add_flops(std::string_view op, Pass pass, double flops) {
    entries_[{std::string(op), pass}].flops += flops;
  }
  const std::map<std::pair<std::string, Pass>, Entry>& entries() const { return entries_; }
  // A table, slowest first: op, pass, calls, ms, share, GFLOP/s.
  std::string table() const;

 private:
  std::map<std::pair<std::string, Pass>, Entry> entries_;
};

// Times its own life as one call of `op`; free when there is no profiler.
class OpTimer {
 public:
  OpTimer(Profiler* profiler, std::string_view op, Pass pass)
      : profiler_(profiler), op_(op), pass_(pass) {
    if (profiler_) start_ = std::chrono::steady_clock::now();
  }
  ~OpTimer() {
    if (profiler_) {
      const std::chrono::duration<double> d = std::chrono::steady_clock::now() - start_;
      profiler_->add(op_, pass_, d.count());
    }
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  Profiler* profiler_;
  std::string_view op_;
  Pass pass_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace stepstone
