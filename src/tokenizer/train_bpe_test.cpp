#include "tokenizer/train_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/error.h"
#include "core/threads.h"
#include "io/test_support.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

TextSource source_of(const std::vector<std::string>& texts) {
  return [&texts, next = std::size_t{0}](std::string& text) mutable {
    if (next == texts.size()) return false;
    text = texts[next++];
    return true;
  };
}

// Texts with a few thousand distinct words, frequent and rare, and long ones.
std::vector<std::string> some_texts() {
  std::mt19937 random(11);
  std::vector<std::string> texts(200);
  for (std::string& text : texts) {
    for (int n = 0; n < 400; ++n) {
      std::string word(1 + random() % 9, 'a');
      const unsigned letters = 1 + random() % 12;
      for (char& c : word) c = static_cast<char>('a' + random() % letters);
      text += (random() % 7 ? " " : "\n") + word;
    }
  }
  texts.push_back(std::string(300'000, 'x') + " y世界 " + std::string(5, '\xFF'));
  return texts;
}

std::vector<Merge> merges_of(const Tokenizer& tokenizer) { return tokenizer.model().bpe.merges(); }

TEST(TrainBpe, SmallExampleByHand) {
  // Words: "ab" x 3, " ab" x 2, " abc" x 1. Pairs: (a,b) 6; then (" ",ab) 3.
  const std::vector<std::string> texts = {"ab", "ab ab", "ab ab abc"};
  BpeTrainReport report;
  const Tokenizer tokenizer = train_bpe(source_of(texts), {.vocab_size = 258}, &report);
  ASSERT_EQ(tokenizer.vocab_size(), 258);
  EXPECT_EQ(tokenizer.token_bytes(256), "ab");
  EXPECT_EQ(tokenizer.token_bytes(257), " ab");
  EXPECT_EQ(report.words, 3u);
  EXPECT_EQ(report.bytes, 16u);
}

TEST(TrainBpe, StopsAtMinFrequencyAndWhenNothingIsLeft) {
  const std::vector<std::string> texts = {"abab", "cd"};
  EXPECT_EQ(train_bpe(source_of(texts), {.vocab_size = 400}).vocab_size(),
            256 + 3);  // ab, abab, cd
  EXPECT_EQ(train_bpe(source_of(texts), {.vocab_size = 400, .min_frequency = 2}).vocab_size(),
            256 + 1);
  EXPECT_EQ(train_bpe(source_of({}), {.vocab_size = 400}).vocab_size(), 256);
}

TEST(TrainBpe, SameForAnyNumberOfThreadsMemoryAndOrderOfTexts) {
  auto texts = some_texts();
  const int threads = num_threads();
  BpeTrainOptions options{.vocab_size = 700, .special_tokens = {"<|endoftext|>"}};
  set_num_threads(1);
  BpeTrainReport roomy;
  const auto expected = merges_of(train_bpe(source_of(texts), options, &roomy));
  EXPECT_EQ(roomy.sorted_runs, 0u);
  std::shuffle(texts.begin(), texts.end(), std::mt19937(1));
  set_num_threads(3);
  EXPECT_EQ(merges_of(train_bpe(source_of(texts), options)), expected);
  set_num_threads(threads);
}

TEST(TrainBpe, CountsGoToDiskAndComeBackExact) {
  // 16,000 distinct words of 60 bytes: over the half of 2 MiB that counting may use, but the words
  // that occur twice decide the merges.
  std::mt19937 random(3);
  std::vector<std::string> texts(400);
  for (std::string& text : texts) {
    for (int n = 0; n < 40; ++n) {
      text += ' ';
      for (int k = 0; k < 60; ++k) text += static_cast<char>('a' + random() % 26);
    }
    text += " common words occur often";
  }
  BpeTrainOptions options{.vocab_size = 300, .memory_bytes = std::size_t{2} << 20};
  BpeTrainReport report;
  const Tokenizer tokenizer = train_bpe(source_of(texts), options, &report);
  EXPECT_GT(report.sorted_runs, 1u);
  EXPECT_EQ(report.words, 16'000u + 4u);
  // What does not fit while merging are words that occur once.
  EXPECT_GT(report.words_left_out, 0u);
  EXPECT_EQ(report.left_out_occurrences, report.words_left_out);
  EXPECT_EQ(tokenizer.encode(" common").size(), 1u);
  const int threads = num_threads();
  set_num_threads(threads == 1 ? 2 : 1);
  EXPECT_EQ(merges_of(train_bpe(source_of(texts), options)), merges_of(tokenizer));
  set_num_threads(threads);
}

TEST(TrainBpe, SpecialTokensAreNeverMerged) {
  const std::vector<std::string> texts(50, "<|x|><|x|> <|x|>");
  const Tokenizer tokenizer =
      train_bpe(source_of(texts), {.vocab_size = 290, .special_tokens = {"<|x|>"}});
  for (const std::int32_t id : tokenizer.encode(texts[0])) EXPECT_FALSE(tokenizer.is_special(id));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(texts[0])), texts[0]);
  EXPECT_EQ(tokenizer.special_id("<|x|>"), 0);
}

TEST(TrainBpe, RefusesImpossibleOptions) {
  const std::vector<std::string> texts = {"a"};
  const auto refuses = [&](const BpeTrainOptions& options) {
    EXPECT_THROW(train_bpe(source_of(texts), options), UsageError);
  };
  refuses({.vocab_size = 255});
  refuses({.vocab_size = 256, .special_tokens = {"<x>"}});
  refuses({.vocab_size = -1});
  refuses({.vocab_size = 2'000'000'000});
  refuses({.memory_bytes = 1000});
  refuses({.special_tokens = {"<x>", "<x>"}});
  refuses({.special_tokens = {""}});
  refuses({.special_tokens = {"a"}});
}

TEST(TrainBpe, AFolderThatCannotBeWrittenIsAnIoError) {
  std::vector<std::string> texts;
  for (int i = 0; i < 30; ++i) texts.push_back(std::string(100'000 + i, 'a'));
  EXPECT_THROW(train_bpe(source_of(texts), {.vocab_size = 300,
                                            .memory_bytes = std::size_t{1} << 20,
                                            .temporary_folder = "/nonexistent"}),
               IoError);
}

}  // namespace
}  // namespace stepstone
