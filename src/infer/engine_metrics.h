// What an engine did, for monitoring.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "infer/engine_request.h"

namespace stepstone {

// Counts of observations up to each bound, as Prometheus has them.
class Histogram {
 public:
  // Seconds.
  static constexpr std::array<double, 16> kBounds = {
      0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.25, 2.5, 5, 10, 20, 60, 300};
  void observe(double value) {
    std::size_t i = 0;
    while (i < kBounds.size() && value > kBounds[i]) ++i;
    ++counts_[i];
    ++count_;
    sum_ += value;
  }
  // Not cumulated; one more than bounds.
  std::span<const std::int64_t> counts() const { return counts_; }
  std::int64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::array<std::int64_t, kBounds.size() + 1> counts_{};
  std::int64_t count_ = 0;
  double sum_ = 0;
};

struct EngineMetrics {
  // Now:
  std::int64_t running = 0, waiting = 0;
  std::int64_t pages_used = 0;    // by texts being written
  std::int64_t pages_cached = 0;  // kept for reuse alone
  std::int64_t pages = 0, page_bytes = 0;
  // Since the start:
  std::int64_t steps = 0, step_tokens = 0;
  std::int64_t prompt_tokens = 0;  // of requests admitted
  std::int64_t reused_tokens = 0;  // of those, not computed
  std::int64_t generated_tokens = 0;
  std::int64_t drafts = 0, drafted_tokens = 0;  // by speculation
  std::int64_t accepted_tokens = 0;             // of those, the ones that were drawn then
  std::int64_t preemptions = 0;
  std::int64_t refused = 0;                             // for a full queue
  double prompt_seconds = 0, decode_seconds = 0;        // of steps, shared out by tokens
  std::array<std::int64_t, kFinishReasons> finished{};  // by FinishReason
  Histogram queue_seconds, prefill_seconds, first_token_seconds, token_seconds, decode_time_seconds,
      request_seconds;
};

}  // namespace stepstone
