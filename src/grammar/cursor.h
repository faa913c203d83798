// A place in the text of a grammar or regular expression, with line and column for messages.
#pragma once

#include <string_view>

#include "core/error.h"
#include "tokenizer/unicode.h"

namespace stepstone {

inline constexpr int kMaxNesting = 100;  // of brackets

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
    if (at_end()) fail("unexpected end");
    const Utf8Step step = utf8_step(text_.data() + at_, text_.data() + text_.size());
    if (step.code == Utf8Step::kInvalid) fail("invalid UTF-8");
    at_ += static_cast<std::size_t>(step.length);
    return step.code;
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
