#include "tokenizer/word_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using Counted = std::vector<std::pair<std::string, std::uint64_t>>;

Counted all(const WordCounts& counts) {
  Counted words;
  counts.for_each(
      [&](std::string_view word, std::uint64_t count) { words.emplace_back(word, count); });
  return words;
}

TEST(WordCounts, ExactForAnyMemoryAndNumberOfTables) {
  const testing::ScratchFolder folder;
  std::mt19937 random(1);
  std::vector<std::string> words;
  std::map<std::string, std::uint64_t> expected;
  for (int i = 0; i < 60'000; ++i) {
    std::string word(random() % 12, '\0');
    for (char& c : word) c = static_cast<char>(random() % (i % 2 ? 3 : 256));
    ++expected[word];
    words.push_back(std::move(word));
  }
  for (const int tables : {1, 3}) {
    for (const std::size_t memory :
         {std::size_t{1} << 16, std::size_t{1} << 20, std::size_t{1} << 30}) {
      WordCounts counts(tables, memory, folder.path());
      for (std::size_t i = 0; i < words.size(); ++i) {
        counts.add(static_cast<int>(i % tables), words[i]);
      }
      EXPECT_EQ(counts.run_count() > 0, memory < std::size_t{1} << 30);
      EXPECT_EQ(all(counts), Counted(expected.begin(), expected.end()));
      EXPECT_EQ(all(counts), Counted(expected.begin(), expected.end()));
    }
  }
  EXPECT_EQ(folder.listing(), "");
}

TEST(WordCounts, AWordLargerThanTheMemory) {
  const testing::ScratchFolder folder;
  WordCounts counts(1, 1000, folder.path());
  const std::string giant(1'000'000, 'g');
  for (const char* word : {"a", giant.c_str(), "b", giant.c_str(), "a"}) counts.add(0, word);
  EXPECT_EQ(all(counts), (Counted{{"a", 2}, {"b", 1}, {giant, 2}}));
}

TEST(WordCounts, FolderThatIsNotThere) {
  WordCounts counts(1, 100, "/nonexistent");
  counts.add(0, "first");
  EXPECT_THROW(counts.add(0, "second"), IoError);
}

}  // namespace
}  // namespace stepstone
