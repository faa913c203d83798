#include "autograd/profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace stepstone {

std::string Profiler::table() const {
  std::vector<std::pair<std::pair<std::string, Pass>, Entry>> rows(entries_.begin(),
                                                                   entries_.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  for (const auto& row : rows) total += row.second.seconds;
  std::string out = fmt::format("{:<20} {:<9} {:>8} {:>10} {:>6} {:>9}\n", "op", "pass", "calls",
                                "ms", "%", "GFLOP/s");
  for (const auto& [key, e] : rows) {
    out += fmt::format("{:<20} {:<9} {:>8} {:>10.2f} {:>6.1f} {:>9}\n", key.first,
                       key.second == Pass::forward ? "forward" : "backward", e.calls,
                       e.seconds * 1e3, 100 * e.seconds / total,
                       e.flops > 0 ? fmt::format("{:.1f}", e.flops / e.seconds / 1e9) : "");
  }
  return out;
}

}  // namespace stepstone
