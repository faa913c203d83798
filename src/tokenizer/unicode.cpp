#include "tokenizer/unicode.h"

#include <memory>

namespace stepstone {
namespace {

struct ClassRange {
  char32_t first, last;
  CharClass kind;
};

constexpr ClassRange kRanges[] = {
#include "tokenizer/unicode_classes.inc"
};

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Length that a lead byte announces (0: not a lead byte), and the range of the second byte: the
// bounds that rule out overlong forms, surrogates and values above U+10FFFF.
struct Lead {
  int length;
  unsigned char low, high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte < 0xF0) {
    return {3, static_cast<unsigned char>(byte == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(byte == 0xED ? 0x9F : 0xBF)};
  }
  if (byte < 0xF5) {
    return {4, static_cast<unsigned char>(byte == 0xF0 ? 0x90 : 0x80),
            static_cast<unsigned char>(byte == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0, 0, 0};
}

}  // namespace

Utf8Step utf8_step(const char* text, const char* end) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text);
  const Lead lead = lead_of(bytes[0]);
  if (lead.length == 1) return {bytes[0], 1};
  if (lead.length == 0 || end - text < lead.length || bytes[1] < lead.low || bytes[1] > lead.high) {
    return {Utf8Step::kInvalid, 1};
  }
  char32_t code = bytes[0] & (0x7F >> lead.length);
  for (int i = 1; i < lead.length; ++i) {
    if (!is_continuation(bytes[i])) return {Utf8Step::kInvalid, 1};
    code = code << 6 | (bytes[i] & 0x3F);
  }
  return {code, lead.length};
}

void append_utf8(char32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

std::size_t incomplete_utf8_suffix(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (is_continuation(byte)) continue;
    const Lead lead = lead_of(byte);
    if (lead.length <= static_cast<int>(back)) return 0;
    if (back >= 2) {
      const auto second = static_cast<unsigned char>(text[text.size() - back + 1]);
      if (second < lead.low || second > lead.high) return 0;
    }
    return back;
  }
  return 0;
}

const std::array<CharClass, detail::kClassEnd>& detail::class_table() {
  static const auto table = [] {
    auto filled = std::make_unique<std::array<CharClass, kClassEnd>>();
    for (const ClassRange& range : kRanges) {
      for (char32_t c = range.first; c <= range.last; ++c) filled->at(c) = range.kind;
    }
    return filled;
  }();
  return *table;
}

}  // namespace stepstone
