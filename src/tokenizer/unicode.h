// UTF-8 stepping and the character classes that pre-tokenizer patterns use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stepstone {

// \p{L}, \p{N} and \s (Unicode 16.0); everything else, unassigned included, is `other`.
enum class CharClass : std::uint8_t { other, letter, number, space };

// U+2581, what SentencePiece writes for a space.
inline constexpr std::string_view kWordStart = "\u2581";

// One step over UTF-8 text. A byte that starts no well-formed character (RFC 3629: no overlong
// forms, no surrogates, nothing above U+10FFFF) is a step of its own, with `code` = kInvalid.
struct Utf8Step {
  static constexpr char32_t kInvalid = 0xFFFFFFFF;
  char32_t code;
  int length;  // bytes, 1 to 4
};
Utf8Step utf8_step(const char* text, const char* end);

// Appends `code` (a scalar value) as UTF-8.
void append_utf8(char32_t code, std::string& out);

// Number of bytes at the end of `text` that are a proper prefix of some well-formed character: 0
// to 3.
std::size_t incomplete_utf8_suffix(std::string_view text);

namespace detail {
// No code point from here on is a letter, a number or a space.
inline constexpr char32_t kClassEnd = 0x33480;
const std::array<CharClass, kClassEnd>& class_table();
}  // namespace detail

inline CharClass char_class(char32_t code) {
  static const CharClass* const table = detail::class_table().data();
  return code < detail::kClassEnd ? table[code] : CharClass::other;
}

}  // namespace stepstone
