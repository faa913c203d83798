// One HTTP request that an engine works for: its jobs, and the answer when they say something.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "infer/engine.h"
#include "serve/api_error.h"
#include "serve/http_server.h"
#include "serve/usage_ledger.h"

namespace stepstone {

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  // `engine` must outlive this.
  Exchange(Engine& engine, std::shared_ptr<HttpReply> reply)
      : engine_(engine), reply_(std::move(reply)) {}
  virtual ~Exchange() = default;

  // All of them or, with an exception, none. They are cancelled when the client goes away. `meter`
  // is told of the tokens of each choice when it ends, however it ends.
  using Meter = std::function<void(const TokenCount&)>;
  void submit(std::vector<EngineRequest> requests, Meter meter);

 protected:
  // What request number `request` says; one call at a time.
  virtual void take(std::size_t request, EngineEvent event) = 0;
  // After the last event of the last request.
  virtual void complete() = 0;
  // After an event with an error; nothing more is taken.
  virtual void fail(const ApiError& error) = 0;

  HttpReply& reply() { return *reply_; }

 private:
  void count(std::size_t request, const EngineEvent& event) const;
  void on_event(std::size_t request, EngineEvent event);
  void cancel_all();

  Engine& engine_;
  std::shared_ptr<HttpReply> reply_;
  Meter meter_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<EngineJob>> jobs_;
  std::size_t open_ = 0;  // choices that have not ended
  bool over_ = false;
};

}  // namespace stepstone
