// Exponential moving average of weights, kept beside them: often better than the last weights.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nn/parameter.h"

namespace stepstone {

class Ema {
 public:
  // decay in (0, 1); the average begins as the weights now.
  Ema(nn::ParameterList& parameters, double decay);

  // average = decay_t * average + (1 - decay_t) * weight, with decay_t rising from 0 so that the
  // random start is forgotten: min(decay, (1 + t) / (10 + t)).
  void update();
  // Exchanges the averages with the weights: before evaluating or saving, and back after.
  void swap();

  std::vector<std::pair<std::string, Tensor>> state() const;
  std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }

 private:
  struct Entry {
    nn::Parameter* parameter;
    Tensor average;
  };
  double decay_;
  std::int64_t updates_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace stepstone
