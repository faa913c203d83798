// Ctrl-C, SIGTERM and a lost terminal (SIGHUP) as a flag that long work polls.
#pragma once

namespace stepstone {

// While one lives, the first SIGINT, SIGTERM or SIGHUP only sets the flag; a second one of the same
// kind ends the process as usual. At most one at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal's number, or 0.
  static int received();
};

}  // namespace stepstone
