// Where a repetition that DRY counts ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace stepstone {

class DryBreakers {
 public:
  static constexpr std::size_t kMaxTexts = 64, kMaxBytes = 40;

  // A line end, and : " *
  static std::vector<std::string> defaults() { return {"\n", ":", "\"", "*"}; }

  // Control tokens break too, unless there are no `texts`: then nothing does. Throws UsageError for
  // texts that are empty, too long or too many.
  DryBreakers(Tokenizer tokenizer, std::vector<std::string> texts);

  // Tokens at the end of `text` that no breaker reaches into, however it is cut into tokens.
  std::size_t unbroken(std::span<const std::int32_t> text) const;

 private:
  Tokenizer tokenizer_;
  std::vector<std::string> texts_;
  std::size_t longest_ = 0;
};

}  // namespace stepstone
