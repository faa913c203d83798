#include "jinja/text.h"

#include <utf8proc.h>

#include <algorithm>

namespace stepstone::jinja {
namespace {

std::size_t length_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size() - at);
}

bool is_cased(char32_t code) {
  const auto point = static_cast<utf8proc_int32_t>(code);
  return utf8proc_toupper(point) != point || utf8proc_tolower(point) != point;
}

// Each character through `change(code, out)`, which keeps the character's origin.
template <typename F>
Text map_characters(const Text& text, F&& change) {
  Text out;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = character_at(text.bytes, at, length);
    change(code, out.bytes);
    out.origin.resize(out.bytes.size(), text.origin[at]);
  }
  return out;
}

void append_upper(char32_t code, std::string& out) {
  if (code == 0xDF) {
    out += "SS";
  } else {
    append_character(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)), out);
  }
}

void append_lower(char32_t code, std::string& out) {
  append_character(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)), out);
}

// Upper case where starts(previous character), lower case elsewhere.
template <utf8proc_int32_t (*kFirst)(utf8proc_int32_t), typename F>
Text title_after(const Text& text, F&& starts) {
  char32_t previous = 0;
  bool first = true;
  return map_characters(text, [&](char32_t code, std::string& out) {
    if (first || starts(previous)) {
      append_character(kFirst(static_cast<utf8proc_int32_t>(code)), out);
    } else {
      append_lower(code, out);
    }
    first = false;
    previous = code;
  });
}

}  // namespace

char32_t character_at(std::string_view text, std::size_t at, std::size_t& length) {
  length = length_at(text, at);
  const auto lead = static_cast<unsigned char>(text[at]);
  if (length == 1) return lead;
  char32_t code = lead & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (text[at + i] & 0x3F);
  return code;
}

void append_character(char32_t code, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

std::vector<std::size_t> character_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size(); at += length_at(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

bool is_space(char32_t code) {
  return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_line_end(char32_t code) {
  return (code >= 10 && code <= 13) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

Text upper(const Text& text) { return map_characters(text, append_upper); }
Text lower(const Text& text) { return map_characters(text, append_lower); }

Text capitalize(const Text& text) {
  return title_after<utf8proc_totitle>(text, [](char32_t) { return false; });
}

Text title(const Text& text) {
  return title_after<utf8proc_totitle>(text, [](char32_t previous) { return !is_cased(previous); });
}

Text title_filter(const Text& text) {
  return title_after<utf8proc_toupper>(text, [](char32_t previous) {
    return is_space(previous) || previous == '-' || previous == '(' || previous == '{' ||
           previous == '[' || previous == '<';
  });
}

Text strip(const Text& text, bool left, bool right, const std::string* characters) {
  const auto strippable = [&](std::string_view character) {
    if (characters != nullptr) return characters->find(character) != std::string::npos;
    std::size_t length = 0;
    return is_space(character_at(character, 0, length));
  };
  std::size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const std::size_t length = length_at(text.bytes, begin);
    if (!strippable(std::string_view(text.bytes).substr(begin, length))) break;
    begin += length;
  }
  while (right && begin < end) {
    std::size_t last = end - 1;
    while (last > begin && (text.bytes[last] & 0xC0) == 0x80) --last;
    if (!strippable(std::string_view(text.bytes).substr(last, end - last))) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

Text replace(const Text& text, std::string_view from, const Text& to, std::int64_t count) {
  Text out;
  std::size_t done = 0;
  if (from.empty()) {  // between all characters
    for (const std::size_t at : character_offsets(text.bytes)) {
      if (count-- == 0) break;
      out.append(text.substr(done, at - done));
      out.append(to);
      done = at;
    }
  } else {
    while (count-- != 0) {
      const std::size_t at = text.bytes.find(from, done);
      if (at == std::string::npos) break;
      out.append(text.substr(done, at - done));
      out.append(to);
      done = at + from.size();
    }
  }
  out.append(text.substr(done));
  return out;
}

Text escape_html(const Text& text) {
  return map_characters(text, [](char32_t code, std::string& out) {
    switch (code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        append_character(code, out);
    }
  });
}

std::vector<Text> split_lines(const Text& text) {
  std::vector<Text> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = character_at(text.bytes, at, length);
    if (!is_line_end(code)) continue;
    lines.push_back(text.substr(begin, at - begin));
    if (code == '\r' && at + 1 < text.size() && text.bytes[at + 1] == '\n') length = 2;
    begin = at + length;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::vector<Text> split_spaces(const Text& text, std::int64_t max_splits) {
  std::vector<Text> words;
  std::size_t at = 0, length = 0;
  while (true) {
    while (at < text.size() && is_space(character_at(text.bytes, at, length))) at += length;
    if (at == text.size()) return words;
    if (max_splits-- == 0) {
      words.push_back(strip(text.substr(at), false, true));
      return words;
    }
    const std::size_t begin = at;
    while (at < text.size() && !is_space(character_at(text.bytes, at, length))) at += length;
    words.push_back(text.substr(begin, at - begin));
  }
}

std::vector<Text> split(const Text& text, std::string_view separator, std::int64_t max_splits) {
  std::vector<Text> parts;
  std::size_t begin = 0;
  while (max_splits-- != 0) {
    const std::size_t at = text.bytes.find(separator, begin);
    if (at == std::string::npos) break;
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<Text> split_from_right(const Text& text, std::string_view separator,
                                   std::int64_t max_splits) {
  std::vector<Text> parts;
  std::size_t end = text.size();
  while (max_splits-- != 0 && end >= separator.size()) {
    const std::size_t at = text.bytes.rfind(separator, end - separator.size());
    if (at == std::string::npos) break;
    parts.push_back(text.substr(at + separator.size(), end - at - separator.size()));
    end = at;
  }
  parts.push_back(text.substr(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace stepstone::jinja
