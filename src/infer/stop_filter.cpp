#include "infer/stop_filter.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

// Length of the longest end of `text` that `stop` begins with, `stop` itself excepted.
std::size_t open_length(std::string_view text, std::string_view stop) {
  for (std::size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    require<UsageError>(!stop.empty(), "a stop string must not be empty");
    require<UsageError>(is_utf8(stop),
                        "a stop string must be UTF-8: no text ends within a character");
  }
}

std::string StopFilter::push(std::string_view piece) {
  std::string out;
  for (std::size_t i = 0; i < piece.size() && !stopped(); ++i) {
    held_ += piece[i];
    std::size_t open = 0;
    for (const std::string& stop : stops_) {
      if (held_.ends_with(stop) && stop.size() > found_.size()) found_ = stop;
      open = std::max(open, open_length(held_, stop));
    }
    const std::size_t shown = held_.size() - (stopped() ? found_.size() : open);
    out.append(held_, 0, shown);
    held_.erase(0, stopped() ? held_.size() : shown);
  }
  return out;
}

std::string StopFilter::flush() { return std::exchange(held_, {}); }

}  // namespace stepstone
