#include "train/stop_signal.h"

#include <csignal>

namespace stepstone {
namespace {

volatile std::sig_atomic_t received_signal = 0;
struct sigaction previous_int, previous_term, previous_hup;

void on_signal(int number) {
  received_signal = number;
  std::signal(number, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  received_signal = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, &previous_int);
  sigaction(SIGTERM, &action, &previous_term);
  // A lost terminal; but a run under nohup goes on.
  sigaction(SIGHUP, nullptr, &previous_hup);
  if (previous_hup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &previous_int, nullptr);
  sigaction(SIGTERM, &previous_term, nullptr);
  sigaction(SIGHUP, &previous_hup, nullptr);
}

int StopSignal::received() { return received_signal; }

}  // namespace stepstone
