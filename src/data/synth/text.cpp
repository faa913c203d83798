#include "data/synth/text.h"

#include "core/error.h"

namespace stepstone::synth {

std::string fill(std::string_view pattern, std::span<const Slot> slots) {
  std::string out;
  out.reserve(pattern.size() + 32);
  while (!pattern.empty()) {
    const std::size_t open = pattern.find('{');
    out += pattern.substr(0, open);
    if (open == std::string_view::npos) break;
    const std::size_t close = pattern.find('}', open);
    require(close != std::string_view::npos, "template '{}' has an open brace", pattern);
    const std::string_view name = pattern.substr(open + 1, close - open - 1);
    bool found = false;
    for (const auto& [key, value] : slots) {
      if (key != name) continue;
      out += value;
      found = true;
      break;
    }
    require(found, "template slot '{}' has no value", name);
    pattern.remove_prefix(close + 1);
  }
  return out;
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

std::string join_and(std::span<const std::string> parts, std::string_view separator,
                     std::string_view last) {
  if (parts.size() < 2) return join(parts, separator);
  std::string out = join(parts.first(parts.size() - 1), separator);
  out += last;
  out += parts.back();
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string capitalised(std::string_view text) {
  std::string out(text);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 32);
  return out;
}

}  // namespace stepstone::synth
