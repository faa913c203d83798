// A scheduler on a thread of its own, with a queue before it: what a server needs.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "infer/fair_queue.h"
#include "infer/scheduler.h"

namespace stepstone {

// The queue has no room; try again later.
class QueueFull : public Error {
 public:
  using Error::Error;
};

class Engine {
 public:
  // As Scheduler.
  Engine(const Transformer& model, Tokenizer tokenizer, DType compute, EngineOptions options);
  // Ends what runs and waits with FinishReason::cancelled.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // From any thread. Throws UsageError for a request that can never be served, QueueFull. Events
  // come on the engine's thread.
  std::shared_ptr<EngineJob> submit(EngineRequest request);
  // From any thread, also after the end. The request's last events say "cancelled"; its memory is
  // free before the next step.
  void cancel(EngineJob& job);

  // Tokens that prompt and text may have together.
  std::int64_t context() const { return scheduler_.context(); }
  const Tokenizer& tokenizer() const { return scheduler_.tokenizer(); }
  std::int64_t kv_bytes() const { return scheduler_.kv_bytes(); }
  EngineMetrics metrics() const;

 private:
  void run();
  // Waits for work; false at the end.
  bool wait_for_work();
  void sweep_cancelled();
  std::shared_ptr<EngineJob> next_waiting();

  Scheduler scheduler_;
  std::size_t max_queue_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  FairQueue<std::shared_ptr<EngineJob>> waiting_;
  bool stopping_ = false, cancelling_ = false;
  std::int64_t refused_ = 0;
  std::thread thread_;
};

}  // namespace stepstone
