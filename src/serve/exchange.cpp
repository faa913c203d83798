#include "serve/exchange.h"

namespace stepstone {

void Exchange::submit(std::vector<EngineRequest> requests, Meter meter) {
  // Held to the end: no event is taken before all requests are in.
  const std::lock_guard lock(mutex_);
  meter_ = std::move(meter);
  for (const EngineRequest& r : requests) open_ += r.choices;
  try {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests[i].on_event = [self = shared_from_this(), i](EngineEvent event) {
        self->on_event(i, std::move(event));
      };
      jobs_.push_back(engine_.submit(std::move(requests[i])));
    }
  } catch (...) {
    cancel_all();
    throw;
  }
  reply_->on_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      const std::lock_guard gone(self->mutex_);
      self->cancel_all();
    }
  });
}

void Exchange::cancel_all() {
  over_ = true;
  for (const auto& job : jobs_) engine_.cancel(*job);
  jobs_.clear();  // they hold this
}

void Exchange::count(std::size_t request, const EngineEvent& event) const {
  const EngineUsage& u = event.usage;
  // A prompt counts with its first choice, but not one that was cancelled before it was read.
  const bool read = event.finish != FinishReason::cancelled || u.completion_tokens > 0;
  meter_({.requests = request == 0 && event.choice == 0,
          .input = event.choice == 0 && read ? u.prompt_tokens : 0,
          .output = u.completion_tokens});
}

void Exchange::on_event(std::size_t request, EngineEvent event) {
  if (event.finish != FinishReason::none) count(request, event);
  const std::lock_guard lock(mutex_);
  if (over_) return;
  const FinishReason finish = event.finish;
  try {
    if (finish == FinishReason::refused) throw ApiError(400, event.error);
    if (finish == FinishReason::error) throw ApiError(500, event.error);
    if (finish == FinishReason::cancelled) throw ApiError(503, "the model is being unloaded");
    take(request, std::move(event));
    if (finish == FinishReason::none || --open_ > 0) return;
    complete();
    over_ = true;
    jobs_.clear();
  } catch (...) {
    fail(current_api_error());
    cancel_all();
  }
}

}  // namespace stepstone
