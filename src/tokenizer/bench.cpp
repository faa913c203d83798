#include "tokenizer/bench.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

namespace stepstone {

EncodeSpeed measure_encode(const Tokenizer& tokenizer, std::span<const std::string> texts,
                           int passes) {
  EncodeSpeed speed{.seconds = std::numeric_limits<double>::infinity()};
  for (const std::string& text : texts) speed.bytes += static_cast<std::int64_t>(text.size());
  for (int pass = 0; pass < passes; ++pass) {
    speed.tokens = 0;
    std::vector<std::int32_t> ids;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& text : texts) {
      ids.clear();
      tokenizer.encode_append(text, ids);
      speed.tokens += static_cast<std::int64_t>(ids.size());
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    speed.seconds = std::min(speed.seconds, elapsed.count());
  }
  return speed;
}

}  // namespace stepstone
