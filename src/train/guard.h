// Notices steps that must not be applied: NaN or infinite numbers, and sudden spikes of the loss.
#pragma once

#include <cmath>
#include <deque>

#include "core/error.h"
#include "io/json.h"

namespace stepstone {

class LossGuard {
 public:
  struct Options {
    int window = 64;       // losses that make the expectation
    double threshold = 8;  // standard deviations above their mean; 0: spikes are let through
    int patience = 10;     // skipped steps in a row that end the run
  };
  explicit LossGuard(Options options) : options_(options) {}

  enum class Verdict { apply, skip };
  // Throws Error when the run is beyond help.
  Verdict check(std::int64_t step, double loss, bool finite_gradient) {
    const bool bad = !std::isfinite(loss) || !finite_gradient || is_spike(loss);
    if (!bad) {
      skipped_ = 0;
      losses_.push_back(loss);
      if (static_cast<int>(losses_.size()) > options_.window) losses_.pop_front();
      return Verdict::apply;
    }
    ++skipped_;
    ++total_skipped_;
    require(skipped_ < options_.patience,
            "training diverged at step {}: {} steps in a row had NaN, infinite or spiking losses "
            "(the last was {}); resume from a checkpoint with a lower optim.lr",
            step, skipped_, loss);
    return Verdict::skip;
  }

  std::int64_t total_skipped() const { return total_skipped_; }

  Json state() const {
    return {{"losses", losses_}, {"skipped", skipped_}, {"total_skipped", total_skipped_}};
  }
  void load_state(const Json& json, const std::string& file) {
    const auto losses = get<std::vector<double>>(json, "losses", file);
    losses_.assign(losses.begin(), losses.end());
    skipped_ = get<int>(json, "skipped", file);
    total_skipped_ = get<std::int64_t>(json, "total_skipped", file);
  }

 private:
  bool is_spike(double loss) const {
    if (options_.threshold <= 0 || static_cast<int>(losses_.size()) < options_.window) return false;
    double mean = 0, squares = 0;
    for (const double x : losses_) mean += x;
    mean /= static_cast<double>(losses_.size());
    for (const double x : losses_) squares += (x - mean) * (x - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(losses_.size()));
    return loss > mean + options_.threshold * std::max(deviation, 1e-3 * std::abs(mean));
  }

  Options options_;
  std::deque<double> losses_;
  int skipped_ = 0;
  std::int64_t total_skipped_ = 0;
};

}  // namespace stepstone
