#include "jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "jinja/text.h"

namespace stepstone::jinja {
namespace {

// Longest first, so that "**" is not two "*".
constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_blank(char c) { return c == ' ' || (c >= 9 && c <= 13); }
bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : source_(source), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data_and_tag();
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  bool looking_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }

  void advance(std::size_t to) {
    for (; at_ < to; ++at_) {
      if (source_[at_] == '\n') {
        ++place_.line;
        place_.column = 1;
      } else {
        ++place_.column;
      }
    }
  }

  void add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, place_, std::move(text)});
  }

  [[noreturn]] void fail(std::string_view problem) const { syntax_error(name_, place_, problem); }

  // Text up to the next tag, then the tag.
  void data_and_tag() {
    std::size_t tag = at_;
    while (true) {
      tag = std::min(source_.find('{', tag), source_.size());
      if (tag + 1 >= source_.size()) {
        tag = source_.size();
        break;
      }
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const bool at_end = tag == source_.size();
    std::string data(source_.substr(at_, tag - at_));
    if (!at_end) strip_before(tag, data);
    if (!data.empty()) add(Token::Kind::data, std::move(data));
    advance(tag);
    if (at_end) return;
    const char kind = source_[tag + 1];
    if (kind == '#') {
      comment();
    } else if (kind == '{' || !raw()) {
      inside(kind);
    }
  }

  // What the sign of the tag at `tag`, or lstrip_blocks, takes off the text before it.
  void strip_before(std::size_t tag, std::string& data) const {
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') {
      data = strip(Text(data), false, true).bytes;
      return;
    }
    if (sign == '+' || source_[tag + 1] == '{') return;
    const std::size_t line = data.rfind('\n') + 1;  // 0 where there is none
    const bool from_line_start = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
    if (from_line_start && strip(Text(data.substr(line)), true, false).empty()) data.resize(line);
  }

  // Moves past "-%}" and the spaces after it, "+%}", or "%}" and one newline, if one is here.
  bool end_of_tag(std::string_view end, bool trims_newline) {
    std::size_t to = at_;
    const bool minus = looking_at("-"), plus = trims_newline && looking_at("+");
    if (minus || plus) ++to;
    if (!source_.substr(to).starts_with(end)) return false;
    to += end.size();
    if (minus) {
      std::size_t length = 0;
      while (to < source_.size() && is_space(character_at(source_, to, length))) to += length;
    } else if (!plus && trims_newline && to < source_.size() && source_[to] == '\n') {
      ++to;
    }
    advance(to);
    return true;
  }

  void comment() {
    const Place begin = place_;
    for (advance(at_ + 2); at_ < source_.size(); advance(at_ + 1)) {
      if (end_of_tag("#}", true)) return;
    }
    place_ = begin;
    fail("the comment does not end");
  }

  // {% raw %} … {% endraw %}, if that is here.
  bool raw() {
    std::size_t to = at_ + 2;
    if (to < source_.size() && (source_[to] == '-' || source_[to] == '+')) ++to;
    const auto skip_blanks = [&](std::size_t p) {
      while (p < source_.size() && is_blank(source_[p])) ++p;
      return p;
    };
    to = skip_blanks(to);
    if (!source_.substr(to).starts_with("raw")) return false;
    to = skip_blanks(to + 3);
    const bool minus = source_.substr(to).starts_with("-%}");
    if (!minus && !source_.substr(to).starts_with("%}")) return false;
    const Place begin = place_;
    to += minus ? 3 : 2;
    if (minus) to = skip_blanks(to);
    advance(to);
    for (std::size_t tag = at_; (tag = source_.find("{%", tag)) != std::string_view::npos; ++tag) {
      std::size_t word = tag + 2;
      if (word < source_.size() && (source_[word] == '-' || source_[word] == '+')) ++word;
      word = skip_blanks(word);
      if (!source_.substr(word).starts_with("endraw")) continue;
      std::string data(source_.substr(at_, tag - at_));
      strip_before(tag, data);
      if (!data.empty()) add(Token::Kind::data, std::move(data));
      advance(skip_blanks(word + 6));
      if (!end_of_tag("%}", true)) fail("expected the end of {% endraw %}");
      return true;
    }
    place_ = begin;
    fail("{% raw %} without {% endraw %}");
  }

  // The expression inside {{ }} or {% %}.
  void inside(char kind) {
    const bool output = kind == '{';
    add(output ? Token::Kind::output_begin : Token::Kind::block_begin, "");
    std::size_t to = at_ + 2;
    if (to < source_.size() && (source_[to] == '-' || source_[to] == '+')) ++to;
    advance(to);
    std::string open;  // brackets
    while (true) {
      while (at_ < source_.size() && is_blank(source_[at_])) advance(at_ + 1);
      if (at_ >= source_.size()) fail("unexpected end of template inside a tag");
      const Place end = place_;
      if (open.empty() && end_of_tag(output ? "}}" : "%}", !output)) {
        tokens_.push_back({output ? Token::Kind::output_end : Token::Kind::block_end, end, ""});
        return;
      }
      word(open);
    }
  }

  void word(std::string& open) {
    const char c = source_[at_];
    if (is_name_start(c)) {
      std::size_t to = at_;
      while (to < source_.size() && is_name_char(source_[to])) ++to;
      add(Token::Kind::name, std::string(source_.substr(at_, to - at_)));
      advance(to);
    } else if (is_digit(c)) {
      number();
    } else if (c == '"' || c == '\'') {
      string(c);
    } else {
      op(open);
    }
  }

  void number() {
    std::size_t to = at_;
    const auto digits = [&] {
      while (to < source_.size() && (is_digit(source_[to]) || source_[to] == '_')) ++to;
    };
    digits();
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // x.0.1: two items, no fraction
    bool real = false;
    if (!after_dot && to + 1 < source_.size() && source_[to] == '.' && is_digit(source_[to + 1])) {
      ++to;
      digits();
      real = true;
    }
    if (!after_dot && to < source_.size() && (source_[to] | 0x20) == 'e') {
      const std::size_t mantissa = to++;
      if (to < source_.size() && (source_[to] == '+' || source_[to] == '-')) ++to;
      if (to < source_.size() && is_digit(source_[to])) {
        digits();
        real = true;
      } else {
        to = mantissa;
      }
    }
    std::string text(source_.substr(at_, to - at_));
    std::erase(text, '_');
    add(real ? Token::Kind::real : Token::Kind::integer, std::move(text));
    advance(to);
  }

  void string(char quote) {
    const Place begin = place_;
    std::size_t to = at_ + 1;
    while (to < source_.size() && source_[to] != quote) to += source_[to] == '\\' ? 2 : 1;
    if (to >= source_.size()) fail("the string does not end");
    std::string value;
    for (std::size_t p = at_ + 1; p < to;) {
      if (source_[p] != '\\') {
        value += source_[p++];
      } else {
        p = escape(p + 1, value);
      }
    }
    tokens_.push_back({Token::Kind::string, begin, std::move(value)});
    advance(to + 1);
  }

  // The escape whose letter is at `p`; returns where it ends.
  std::size_t escape(std::size_t p, std::string& out) const {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char letter = source_[p];
    if (const std::size_t i = kLetters.find(letter); i != std::string_view::npos) {
      out += kMeanings[i];
      return p + 1;
    }
    if (letter == '\n') return p + 1;
    const bool octal = letter >= '0' && letter <= '7';
    const int hex_digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (!octal && hex_digits == 0) {
      out += '\\';
      return p;
    }
    if (!octal) ++p;
    char32_t code = 0;
    for (int i = 0; i < (octal ? 3 : hex_digits); ++i, ++p) {
      const char digit = p < source_.size() ? source_[p] : '\0';
      const bool fits = octal ? digit >= '0' && digit <= '7'
                              : std::isxdigit(static_cast<unsigned char>(digit)) != 0;
      if (!fits && octal) break;
      if (!fits) fail("a broken escape in a string");
      code = code * (octal ? 8 : 16) +
             static_cast<char32_t>(is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("an escape of no character");
    append_character(code, out);
    return p;
  }

  void op(std::string& open) {
    const auto* const found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                           [&](std::string_view text) { return looking_at(text); });
    if (found == std::end(kOperators)) {
      fail(fmt::format("unexpected character '{}'", source_[at_]));
    }
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) fail(fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    add(Token::Kind::op, std::string(*found));
    advance(at_ + found->size());
  }

  std::string_view source_;
  const std::string& name_;
  std::size_t at_ = 0;
  Place place_;
  std::vector<Token> tokens_;
};

}  // namespace

void syntax_error(const std::string& name, Place place, std::string_view problem) {
  throw FormatError(name, fmt::format("line {}, column {}", place.line, place.column), problem);
}

std::vector<Token> tokenize(std::string_view source, const std::string& name) {
  std::string text;  // with "\n" for every kind of line end
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      text += '\n';
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return Lexer(text, name).run();
}

}  // namespace stepstone::jinja
