#include "tokenizer/pre_tokenizer.h"

namespace stepstone {
namespace {

struct KnownPattern {
  std::string_view regex;
  Pattern pattern;
};

// For each pattern, first the form that is written to files.
constexpr KnownPattern kKnown[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     Pattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Pattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)",
     Pattern::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Pattern::cl100k},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     Pattern::cl100k},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     Pattern::cl100k},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Pattern::qwen2},
    {R"([\s\S])", Pattern::characters},
};

}  // namespace

std::optional<Pattern> recognise_pattern(std::string_view regex) {
  for (const KnownPattern& known : kKnown) {
    if (known.regex == regex) return known.pattern;
  }
  return std::nullopt;
}

std::string_view pattern_regex(Pattern pattern) {
  for (const KnownPattern& known : kKnown) {
    if (known.pattern == pattern) return known.regex;
  }
  return {};
}

namespace detail {

Char wide_char(const char* p, const char* end) {
  const Utf8Step step = utf8_step(p, end);
  if (step.code == Utf8Step::kInvalid) return {kOther, 1};
  return {static_cast<std::uint8_t>(char_class(step.code)), static_cast<std::uint8_t>(step.length)};
}

const char* contraction_any_case(const char* p, const char* end) {
  const auto lower = [end](const char* q) { return q < end ? static_cast<char>(*q | 0x20) : '\0'; };
  const char first = lower(p + 1);
  switch (first) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return p + 2;
    case 'r':
    case 'v':
      return lower(p + 2) == 'e' ? p + 3 : p;
    case 'l':
      return lower(p + 2) == 'l' ? p + 3 : p;
    default:
      break;
  }
  // Case folding makes U+017F (long s) an s.
  return std::string_view(p + 1, end - p - 1).starts_with("\u017F") ? p + 3 : p;
}

}  // namespace detail
}  // namespace stepstone
