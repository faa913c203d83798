#include "io/utf8.h"

#include <algorithm>
#include <cstdint>

namespace stepstone {
namespace {

struct Scan {
  std::size_t bytes;   // that fit together
  std::size_t wanted;  // for the whole character; 0 when the first byte begins none
};

// Table 3-7 of the Unicode standard: the second byte's range depends on the first.
Scan scan(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return {1, 1};
  if (first < 0xc2 || first > 0xf4) return {1, 0};
  const std::size_t wanted = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const std::uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const std::uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  std::size_t bytes = 1;
  while (bytes < wanted && bytes < text.size()) {
    const std::uint8_t next = byte(bytes);
    if (bytes == 1 ? (next < low || next > high) : (next & 0xc0) != 0x80) break;
    ++bytes;
  }
  return {bytes, wanted};
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const Scan character = scan(text);
  return character.bytes == character.wanted ? character.wanted : 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::size_t utf8_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string to_utf8_lossy(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Scan character = scan(text);
    if (character.bytes == character.wanted) {
      result.append(text.substr(0, character.bytes));
    } else {
      result.append("\xef\xbf\xbd");
    }
    text.remove_prefix(character.bytes);
  }
  return result;
}

std::size_t utf8_whole_prefix(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    if ((static_cast<std::uint8_t>(tail[0]) & 0xc0) == 0x80) continue;
    const Scan character = scan(tail);
    return character.bytes == back && character.wanted > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace stepstone
