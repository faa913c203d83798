// Cutting text into pieces before BPE. The patterns of the well-known tokenizers are scanned by
// hand: one pass, no recursion, constant space. A byte that is not UTF-8 counts as a character that
// is neither letter, number nor space.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tokenizer/unicode.h"

namespace stepstone {

enum class Pattern : std::uint8_t {
  none,        // the text is one piece
  gpt2,        // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  cl100k,      // GPT-4 and Llama 3: contractions in any case, numbers in threes
  qwen2,       // the same with single digits
  digits,      // numbers apart from the rest
  each_digit,  // each number character apart from the rest
  characters,  // each character by itself
};

// The hand-written scanner that cuts exactly as `regex` does, if there is one. A "\p{N}{1,3}" or
// similar variation not listed in pre_tokenizer.cpp is not recognised.
std::optional<Pattern> recognise_pattern(std::string_view regex);
// The regular expression of a pattern, as tokenizer.json states it; empty for `none` and digits.
std::string_view pattern_regex(Pattern pattern);

namespace detail {

// Class of a byte below 0x80; kWide for the rest.
enum : std::uint8_t { kOther, kLetter, kNumber, kSpace, kWide };

constexpr std::array<std::uint8_t, 256> make_byte_classes() {
  std::array<std::uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 9 && c <= 13);
    table[c] = c >= 0x80              ? kWide
               : letter               ? kLetter
               : c >= '0' && c <= '9' ? kNumber
               : space                ? kSpace
                                      : kOther;
  }
  return table;
}
inline constexpr std::array<std::uint8_t, 256> kByteClasses = make_byte_classes();

struct Char {
  std::uint8_t kind;  // kOther, kLetter, kNumber or kSpace
  std::uint8_t length;
};

Char wide_char(const char* p, const char* end);

inline Char char_at(const char* p, const char* end) {
  const std::uint8_t kind = kByteClasses[static_cast<unsigned char>(*p)];
  return kind != kWide ? Char{kind, 1} : wide_char(p, end);
}

// End of the run of characters of `kind` that starts at p.
inline const char* run_end(const char* p, const char* end, std::uint8_t kind) {
  while (p < end) {
    const std::uint8_t byte_kind = kByteClasses[static_cast<unsigned char>(*p)];
    if (byte_kind == kind) {
      ++p;
    } else if (byte_kind == kWide) {
      const Char c = wide_char(p, end);
      if (c.kind != kind) return p;
      p += c.length;
    } else {
      return p;
    }
  }
  return end;
}

// \s+(?!\S)|\s+ at a space that starts no longer alternative: the run, less its last character
// where something follows and the run has more than one.
inline const char* space_piece(const char* p, const char* end) {
  const char* last = p;
  const char* q = p;
  while (q < end) {
    const Char c = char_at(q, end);
    if (c.kind != kSpace) return last > p ? last : q;
    last = q;
    q += c.length;
  }
  return end;
}

const char* contraction_any_case(const char* p, const char* end);

// 's|'t|'re|'ve|'m|'ll|'d at the apostrophe p; p where there is none.
inline const char* contraction(const char* p, const char* end) {
  if (end - p < 2) return p;
  switch (p[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return p + 2;
    case 'r':
    case 'v':
      return end - p > 2 && p[2] == 'e' ? p + 3 : p;
    case 'l':
      return end - p > 2 && p[2] == 'l' ? p + 3 : p;
    default:
      return p;
  }
}

inline const char* gpt2_piece(const char* p, const char* end) {
  if (*p == '\'') {
    const char* q = contraction(p, end);
    if (q != p) return q;
  }
  const char* q = *p == ' ' && p + 1 < end ? p + 1 : p;
  const Char c = char_at(q, end);
  if (c.kind == kSpace) return space_piece(p, end);
  return run_end(q + c.length, end, c.kind);
}

// \s*[\r\n]+|\s+(?!\S)|\s+
inline const char* space_or_lines_piece(const char* p, const char* end) {
  const char* after_newline = p;
  const char* last = p;
  const char* q = p;
  while (q < end) {
    const Char c = char_at(q, end);
    if (c.kind != kSpace) break;
    last = q;
    q += c.length;
    if (*last == '\n' || *last == '\r') after_newline = q;
  }
  if (after_newline != p) return after_newline;
  return q == end || last == p ? q : last;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kDigits}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <int kDigits>
const char* cl100k_piece(const char* p, const char* end) {
  if (*p == '\'') {
    const char* q = contraction_any_case(p, end);
    if (q != p) return q;
  }
  const Char first = char_at(p, end);
  const char* q = p + first.length;
  if (first.kind == kLetter) return run_end(q, end, kLetter);
  if (first.kind == kNumber) {
    for (int i = 1; i < kDigits && q < end; ++i) {
      const Char c = char_at(q, end);
      if (c.kind != kNumber) break;
      q += c.length;
    }
    return q;
  }
  const Char second = q < end ? char_at(q, end) : Char{kSpace, 0};
  const bool newline = *p == '\n' || *p == '\r';
  if (second.kind == kLetter && !newline) return run_end(q + second.length, end, kLetter);
  if (first.kind == kSpace) {
    if (*p != ' ' || second.kind != kOther) return space_or_lines_piece(p, end);
    q += second.length;
  }
  q = run_end(q, end, kOther);
  while (q < end && (*q == '\n' || *q == '\r')) ++q;
  return q;
}

template <bool kEach>
const char* digits_piece(const char* p, const char* end) {
  Char c = char_at(p, end);
  const char* q = p + c.length;
  const bool number = c.kind == kNumber;
  if (kEach && number) return q;
  while (q < end) {
    c = char_at(q, end);
    if ((c.kind == kNumber) != number) return q;
    q += c.length;
  }
  return end;
}

inline const char* character_piece(const char* p, const char* end) {
  return p + char_at(p, end).length;
}

template <const char* (*next)(const char*, const char*), typename F>
void scan(std::string_view text, F&& piece) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* q = next(p, end);
    piece(std::string_view(p, q - p));
    p = q;
  }
}

}  // namespace detail

// Calls piece(std::string_view) for each piece of `text`, in order; together they are the text.
template <typename F>
void for_each_piece(Pattern pattern, std::string_view text, F&& piece) {
  switch (pattern) {
    case Pattern::none:
      if (!text.empty()) piece(text);
      return;
    case Pattern::gpt2:
      return detail::scan<detail::gpt2_piece>(text, piece);
    case Pattern::cl100k:
      return detail::scan<detail::cl100k_piece<3>>(text, piece);
    case Pattern::qwen2:
      return detail::scan<detail::cl100k_piece<1>>(text, piece);
    case Pattern::digits:
      return detail::scan<detail::digits_piece<false>>(text, piece);
    case Pattern::each_digit:
      return detail::scan<detail::digits_piece<true>>(text, piece);
    case Pattern::characters:
      return detail::scan<detail::character_piece>(text, piece);
  }
}

}  // namespace stepstone
