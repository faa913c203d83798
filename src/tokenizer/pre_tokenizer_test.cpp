#include "tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/regex_splitter.h"

namespace stepstone {
namespace {

using Pieces = std::vector<std::string>;

constexpr Pattern kScanned[] = {Pattern::gpt2, Pattern::cl100k, Pattern::qwen2};

Pieces scan(Pattern pattern, std::string_view text) {
  Pieces pieces;
  for_each_piece(pattern, text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

Pieces match(const RegexSplitter& regex, std::string_view text) {
  Pieces pieces;
  regex.split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

std::string join(const Pieces& pieces) {
  std::string text;
  for (const std::string& piece : pieces) {
    EXPECT_FALSE(piece.empty());
    text += piece;
  }
  return text;
}

// Characters on both sides of every distinction that the patterns make.
std::string corner_text(std::mt19937& random) {
  static const std::string kParts[] = {
      "a",  "Z",    "ab",   "0",    "42",     "12345",  " ",      "  ",     "\t",     "\n",
      "\r", "\r\n", "\n\n", "'",    "'s",     "'LL",    "'Re",    "'ve",    "'ſ",     "'l",
      ".",  "!!",   "-_",   "é",    "世",     "Ωδ",     "१",      "¼",      "Ⅷ",      "\u0300",
      "😀",  "\v\f", "\x1c", "\x7f", "\u00a0", "\u2003", "\u3000", "\u0085", "\u200b", "한"};
  std::string text;
  for (int n = 1 + static_cast<int>(random() % 25); n > 0; --n) {
    text += kParts[random() % std::size(kParts)];
  }
  return text;
}

TEST(PreTokenizer, ScannersCutAsTheirRegexDoes) {
  std::mt19937 random(5);
  for (const Pattern pattern : kScanned) {
    const RegexSplitter regex{std::string(pattern_regex(pattern))};
    for (int i = 0; i < 20000; ++i) {
      const std::string text = corner_text(random);
      ASSERT_EQ(scan(pattern, text), match(regex, text)) << testing::PrintToString(text);
    }
  }
}

TEST(PreTokenizer, PiecesAreTheTextForAnyBytes) {
  std::mt19937 random(6);
  const RegexSplitter other(R"(\w+|\s)");
  for (int i = 0; i < 3000; ++i) {
    std::string text(random() % 60, '\0');
    for (char& c : text) c = static_cast<char>(random() % 3 ? 0x80 | random() : random());
    for (const Pattern pattern : {Pattern::none, Pattern::gpt2, Pattern::cl100k, Pattern::qwen2,
                                  Pattern::digits, Pattern::each_digit, Pattern::characters}) {
      ASSERT_EQ(join(scan(pattern, text)), text);
    }
    ASSERT_EQ(join(match(other, text)), text);
  }
}

TEST(PreTokenizer, DigitSteps) {
  EXPECT_EQ(scan(Pattern::digits, "ab123 4c"), (Pieces{"ab", "123", " ", "4", "c"}));
  EXPECT_EQ(scan(Pattern::each_digit, "ab123 4"), (Pieces{"ab", "1", "2", "3", " ", "4"}));
  EXPECT_EQ(scan(Pattern::characters, "a\xFF世"), (Pieces{"a", "\xFF", "世"}));
}

TEST(PreTokenizer, MegabytesOfOneClassNeedNoStack) {
  for (const Pattern pattern : kScanned) {
    for (const char* unit : {"a", " ", "\n", "!", "世", "\xFF"}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      EXPECT_EQ(join(scan(pattern, text)).size(), text.size());
    }
  }
  const RegexSplitter regex{std::string(pattern_regex(Pattern::gpt2))};
  EXPECT_EQ(match(regex, std::string(1'000'000, 'a')).size(), 1u);
}

TEST(PreTokenizer, RecognisesItsOwnRegexes) {
  for (const Pattern pattern : kScanned) {
    EXPECT_EQ(recognise_pattern(pattern_regex(pattern)), pattern);
  }
  EXPECT_EQ(recognise_pattern(R"(\w+)"), std::nullopt);
}

TEST(RegexSplitter, RefusesBadPatterns) {
  EXPECT_THROW(RegexSplitter("(a"), UsageError);
  EXPECT_THROW(RegexSplitter(R"(\C)"), UsageError);
  EXPECT_THROW(RegexSplitter(std::string(RegexSplitter::kMaxPatternBytes + 1, 'a')), UsageError);
}

TEST(RegexSplitter, StopsARunawayPattern) {
  const RegexSplitter regex("(a+)+$");
  EXPECT_THROW(match(regex, std::string(200, 'a') + "b"), Error);
}

TEST(Unicode, IncompleteSuffix) {
  EXPECT_EQ(incomplete_utf8_suffix(""), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("世"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xE4"), 1u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xE4\xB8"), 2u);
  EXPECT_EQ(incomplete_utf8_suffix("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_suffix("\xE0\x80"), 0u);  // overlong: can never complete
  EXPECT_EQ(incomplete_utf8_suffix("\xED\xA0"), 0u);  // a surrogate
  EXPECT_EQ(incomplete_utf8_suffix("\x80\x80\x80\x80"), 0u);
}

TEST(Normalizer, ComposesWellFormedStretches) {
  EXPECT_EQ(compose("e\u0301\xFF"
                    "A\u030A"),
            "é\xFF"
            "Å");
  EXPECT_TRUE(is_surely_composed("plain, 世界, é \xFF"));
  EXPECT_FALSE(is_surely_composed("e\u0301"));
}

TEST(Normalizer, QuickLookAgreesWithTheWholeRule) {
  std::mt19937 random(8);
  for (int i = 0; i < 200000; ++i) {
    std::string text;
    for (int n = 0; n < 3; ++n) {
      const char32_t code = random() % (random() % 2 ? 0x3400 : 0x20000);
      if (code < 0xD800 || code > 0xDFFF) append_utf8(code, text);
    }
    if (is_surely_composed(text)) {
      ASSERT_EQ(compose(text), text);
    }
  }
}

}  // namespace
}  // namespace stepstone
