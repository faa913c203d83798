// A place in the text of a grammar or regular expression, with line and column for messages.
#pragma once

#include <string_view>

#include "core/error.h"
#include "io/utf8.h"

namespace stepstone {

class Cursor {
 public:
  Cursor(std::string_view text, std::string_view what) : text_(text), what_(what) {}

  bool at_end() const { return at_ >= text_.size(); }
  // The byte `ahead` of here; 0 past the end.
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts_with(std::string_view word) const { return text_.substr(at_).starts_with(word); }
  bool take(std::string_view word) {
    if (!starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void expect(std::string_view word) {
    if (!take(word)) fail(fmt::format("expected '{}'", word));
  }
  void skip(std::size_t bytes = 1) { at_ += bytes; }

  // The next character, which must be valid UTF-8.
  char32_t character() {
    const std::string_view rest = text_.substr(at_);
    const std::size_t length = utf8_length(rest);
    if (length == 0) fail(at_end() ? "unexpected end" : "invalid UTF-8");
    at_ += length;
    if (length == 1) return static_cast<unsigned char>(rest[0]);
    auto c = static_cast<char32_t>(static_cast<unsigned char>(rest[0]) & (0xFF >> (length + 1)));
    for (std::size_t i = 1; i < length; ++i) {
      c = c << 6 | (static_cast<unsigned char>(rest[i]) & 0x3F);
    }
    return c;
  }
  // Exactly `digits` hexadecimal digits, a code point.
  char32_t hexadecimal(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail(fmt::format("expected {} hexadecimal digits", digits));
      value = value << 4 | static_cast<char32_t>(digit);
      skip();
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("no such character");
    return value;
  }
  // A decimal number of at most 9 digits.
  std::int64_t number() {
    std::int64_t value = 0;
    int digits = 0;
    for (; peek() >= '0' && peek() <= '9'; skip(), ++digits) {
      if (digits == 9) fail("number too large");
      value = 10 * value + (peek() - '0');
    }
    if (digits == 0) fail("expected a number");
    return value;
  }

  [[noreturn]] void fail(std::string_view problem) const {
    std::size_t line = 1, column = 1;
    for (const char c : text_.substr(0, at_)) {
      if (c == '\n') {
        ++line;
        column = 1;
      } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
        ++column;
      }
    }
    throw UsageError(fmt::format("{}: line {}, column {}: {}", what_, line, column, problem));
  }

 private:
  std::string_view text_, what_;
  std::size_t at_ = 0;
};

// "{m}", "{m,}" or "{m,n}" after its brace.
inline std::pair<std::int64_t, std::int64_t> repeat_bounds(Cursor& in, std::int64_t unbounded) {
  const std::int64_t min = in.number();
  std::int64_t max = min;
  if (in.take(",")) max = in.peek() == '}' ? unbounded : in.number();
  in.expect("}");
  return {min, max};
}

}  // namespace stepstone
