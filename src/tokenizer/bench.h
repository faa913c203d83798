// What `stepstone bench tokenizer` measures.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tokenizer/tokenizer.h"

namespace stepstone {

struct EncodeSpeed {
  std::int64_t bytes = 0, tokens = 0;  // of one pass over the texts
  double seconds = 0;                  // of the fastest pass
  double bytes_per_second() const { return static_cast<double>(bytes) / seconds; }
};

// Encodes every text, one after another on this thread, `passes` times.
EncodeSpeed measure_encode(const Tokenizer& tokenizer, std::span<const std::string> texts,
                           int passes);

}  // namespace stepstone
