// How the learning rate moves over a run, as a factor of its peak.
#pragma once

#include <cstdint>
#include <string_view>

namespace stepstone {

enum class ScheduleKind : std::uint8_t {
  constant,
  cosine,  // warm-up, then half a cosine down to final_scale
  linear,  // warm-up, then a line down to final_scale
  wsd,     // warm-up, stable, then a line down over the last `decay` share of the steps
};

struct Schedule {
  ScheduleKind kind = ScheduleKind::wsd;
  std::int64_t steps = 1000;
  std::int64_t warmup = 0;
  double decay = 0.4;        // wsd: share of the steps
  double final_scale = 0.0;  // of the peak, at the last step

  // Factor for step 0 … steps − 1. Never 0 before the end, so that no step is wasted.
  double at(std::int64_t step) const;
};

// Throws UsageError listing the names.
ScheduleKind schedule_kind(std::string_view name);

}  // namespace stepstone
