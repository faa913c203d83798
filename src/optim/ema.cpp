#include "optim/ema.h"

#include <algorithm>

#include "core/threads.h"

namespace stepstone {
namespace {
constexpr std::int64_t kGrain = 1 << 16;
}

Ema::Ema(nn::ParameterList& parameters, double decay) : decay_(decay) {
  require<UsageError>(decay > 0 && decay < 1, "ema: expected a decay in (0, 1), got {}", decay);
  for (nn::Parameter& p : parameters) entries_.push_back({&p, p.var.value().clone()});
}

void Ema::update() {
  const auto t = static_cast<double>(updates_++);
  const auto keep = static_cast<float>(std::min(decay_, (1 + t) / (10 + t)));
  for (const Entry& e : entries_) {
    const float* weight = e.parameter->var.value().data<float>();
    float* average = e.average.data<float>();
    parallel_for(e.average.numel(), kGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        average[i] += (1 - keep) * (weight[i] - average[i]);
    });
  }
}

void Ema::swap() {
  for (const Entry& e : entries_) {
    float* weight = e.parameter->var.value().data<float>();
    std::swap_ranges(weight, weight + e.average.numel(), e.average.data<float>());
  }
}

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Entry& e : entries_) all.emplace_back(e.parameter->name + ".ema", e.average);
  return all;
}

}  // namespace stepstone
