#include "serve/exchange.h"

namespace stepstone {

void Exchange::submit(std::vector<EngineRequest> requests) {
  // Held to the end: no event is taken before all requests are in.
  const std::lock_guard lock(mutex_);
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

void Exchange::on_event(std::size_t request, EngineEvent event) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  const FinishReason finish = event.finish;
  try {
    if (finish == FinishReason::error) throw ApiError(500, event.error);
    if (finish == FinishReason::cancelled) throw ApiError(503, "the server is shutting down");
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
