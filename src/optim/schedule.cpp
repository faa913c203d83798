#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace stepstone {

double Schedule::at(std::int64_t step) const {
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
  // Share of the decay done: 0 at its begin, 1 one step after the last.
  const auto progress = [&](double first) {
    const double length = std::max(1.0, static_cast<double>(steps) - first);
    return std::clamp((static_cast<double>(step) - first) / length, 0.0, 1.0);
  };
  switch (kind) {
    case ScheduleKind::constant:
      return 1.0;
    case ScheduleKind::cosine:
      return final_scale +
             (1 - final_scale) * 0.5 *
                 (1 + std::cos(std::numbers::pi * progress(static_cast<double>(warmup))));
    case ScheduleKind::linear:
      return 1 - (1 - final_scale) * progress(static_cast<double>(warmup));
    case ScheduleKind::wsd:
      return 1 - (1 - final_scale) * progress(static_cast<double>(steps) * (1 - decay));
  }
  return 1.0;
}

ScheduleKind schedule_kind(std::string_view name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "cosine") return ScheduleKind::cosine;
  if (name == "linear") return ScheduleKind::linear;
  if (name == "wsd") return ScheduleKind::wsd;
  throw UsageError(
      fmt::format("optim.schedule: expected constant, cosine, linear or wsd, got \"{}\"", name));
}

}  // namespace stepstone
