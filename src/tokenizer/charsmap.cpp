#include "tokenizer/charsmap.h"

#include <cstring>

#include "core/error.h"

namespace stepstone {

Charsmap::Charsmap(std::string_view blob, std::string_view file, std::string_view field) {
  std::uint32_t size = 0;
  if (blob.size() < 4) throw FormatError(file, field, "is shorter than its header");
  std::memcpy(&size, blob.data(), 4);
  if (size == 0 || size % 4 != 0 || size > blob.size() - 4) {
    throw FormatError(file, field,
                      fmt::format("a trie of {} bytes among {}", size, blob.size() - 4));
  }
  units_.resize(size / 4);
  std::memcpy(units_.data(), blob.data() + 4, size);
  replacements_ = blob.substr(4 + size);
  if (!replacements_.empty() && replacements_.back() != '\0') {
    throw FormatError(file, field, "the last replacement does not end");
  }
}

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, bool longest) const {
  const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  std::optional<Match> best;
  std::uint64_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size()) break;
    const std::uint32_t unit = units_[node];
    if ((unit & (1u << 31 | 0xFF)) != byte) break;
    node ^= offset(unit);
    if ((unit >> 8 & 1) == 0) continue;
    if (node >= units_.size()) break;
    const std::uint32_t value = units_[node] & ~(1u << 31);
    if (value >= replacements_.size()) break;
    best = Match{i + 1, replacements_.c_str() + value};
    if (!longest) break;
  }
  return best;
}

}  // namespace stepstone
