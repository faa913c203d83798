#include "infer/engine.h"

namespace stepstone {

Engine::Engine(const Transformer& model, Tokenizer tokenizer, DType compute, EngineOptions options)
    : scheduler_(model, std::move(tokenizer), compute, options), max_queue_(options.max_queue) {
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  thread_.join();
}

std::shared_ptr<EngineJob> Engine::submit(EngineRequest request) {
  scheduler_.check(request);
  const auto job = std::make_shared<EngineJob>();
  job->request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= max_queue_ || stopping_) {
      ++refused_;
      throw QueueFull(fmt::format("{} requests are waiting already", waiting_.size()));
    }
    waiting_.push(job->request.key, job, job->request.priority);
  }
  arrived_.notify_one();
  return job;
}

void Engine::cancel(EngineJob& job) {
  job.cancelled = true;
  {
    const std::lock_guard lock(mutex_);
    cancelling_ = true;
  }
  arrived_.notify_one();
}

EngineMetrics Engine::metrics() const {
  EngineMetrics m = scheduler_.metrics();
  const std::lock_guard lock(mutex_);
  m.waiting += static_cast<std::int64_t>(waiting_.size());
  m.refused = refused_;
  return m;
}

void Engine::run() {
  while (wait_for_work()) {
    sweep_cancelled();
    while (scheduler_.room() > 0) {
      auto job = next_waiting();
      if (!job) break;
      scheduler_.add(std::move(job));
    }
    scheduler_.step();
  }
  scheduler_.cancel_all();
  while (auto job = next_waiting()) scheduler_.reject(std::move(job));
}

bool Engine::wait_for_work() {
  std::unique_lock lock(mutex_);
  if (scheduler_.idle()) {
    arrived_.wait(lock, [this] { return stopping_ || cancelling_ || !waiting_.empty(); });
  }
  return !stopping_;
}

void Engine::sweep_cancelled() {
  std::deque<std::shared_ptr<EngineJob>> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(cancelling_, false)) return;
    dropped = waiting_.extract([](const auto& job) { return job->cancelled.load(); });
  }
  for (auto& job : dropped) scheduler_.reject(std::move(job));
  scheduler_.sweep_cancelled();
}

std::shared_ptr<EngineJob> Engine::next_waiting() {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() ? nullptr : waiting_.pop();
}

}  // namespace stepstone
