// Work on files, in order and away from the thread that carries HTTP.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace stepstone {

class WorkQueue {
 public:
  WorkQueue() : thread_([this] { run(); }) {}
  // Does what waits first.
  ~WorkQueue();

  // From any thread. `work` must not throw. Throws QueueFull when too much is waiting.
  void add(std::function<void()> work);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace stepstone
