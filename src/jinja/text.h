// A string that remembers, byte by byte, where it came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone::jinja {

// Origin of a byte: 0 for the template's own text, otherwise what the caller of the engine gave the
// string (1 to 0x7F). kGenerated is added to what a {% generation %} block writes.
using Origin = char;
inline constexpr Origin kTemplateOrigin = 0;
inline constexpr Origin kGenerated = static_cast<Origin>(0x80);

struct Text {
  std::string bytes;   // UTF-8
  std::string origin;  // as long as bytes

  Text() = default;
  Text(std::string_view text, Origin from = kTemplateOrigin)  // NOLINT: a literal is a Text
      : bytes(text), origin(text.size(), from) {}
  Text(const char* text) : Text(std::string_view(text)) {}         // NOLINT
  Text(const std::string& text) : Text(std::string_view(text)) {}  // NOLINT

  std::size_t size() const { return bytes.size(); }
  bool empty() const { return bytes.empty(); }
  void append(const Text& other) {
    bytes += other.bytes;
    origin += other.origin;
  }
  void append(std::string_view text, Origin from) {
    bytes += text;
    origin.append(text.size(), from);
  }
  Text substr(std::size_t begin, std::size_t count = std::string::npos) const {
    Text part;
    part.bytes = bytes.substr(begin, count);
    part.origin = origin.substr(begin, count);
    return part;
  }
};

// Byte offset of every character, and of the end.
std::vector<std::size_t> character_offsets(std::string_view text);
std::size_t character_count(std::string_view text);
// The character at `at`, and its length in bytes.
char32_t character_at(std::string_view text, std::size_t at, std::size_t& length);
void append_character(char32_t code, std::string& out);

// Python's str.isspace() of one character.
bool is_space(char32_t code);
bool is_line_end(char32_t code);  // as str.splitlines() has it

Text upper(const Text& text);
Text lower(const Text& text);
Text capitalize(const Text& text);
Text title(const Text& text);         // str.title()
Text title_filter(const Text& text);  // Jinja's filter: words begin after spaces and brackets
Text strip(const Text& text, bool left, bool right, const std::string* characters = nullptr);
Text replace(const Text& text, std::string_view from, const Text& to, std::int64_t count);
Text escape_html(const Text& text);
std::vector<Text> split_lines(const Text& text);
std::vector<Text> split_spaces(const Text& text, std::int64_t max_splits);
std::vector<Text> split(const Text& text, std::string_view separator, std::int64_t max_splits);
std::vector<Text> split_from_right(const Text& text, std::string_view separator,
                                   std::int64_t max_splits);

}  // namespace stepstone::jinja
