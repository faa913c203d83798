#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "core/error.h"

namespace stepstone {
namespace {

using Ids = std::vector<std::int32_t>;

std::array<std::int32_t, 256> identity() {
  std::array<std::int32_t, 256> ids;
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// The definition, step by step.
Ids by_definition(const std::vector<Merge>& merges, const std::string& piece) {
  Ids ids;
  for (const char byte : piece) ids.push_back(static_cast<unsigned char>(byte));
  for (;;) {
    std::size_t best = merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best = rank;
          place = i;
        }
      }
    }
    if (best == merges.size()) return ids;
    ids[place] = merges[best].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

// Random merges over the letters a to d; each joins two tokens made before it.
std::vector<Merge> random_merges(std::mt19937& random, int count) {
  std::vector<std::int32_t> tokens = {'a', 'b', 'c', 'd'};
  std::vector<std::pair<int, int>> used;
  std::vector<Merge> merges;
  while (static_cast<int>(merges.size()) < count) {
    const std::int32_t left = tokens[random() % tokens.size()];
    const std::int32_t right = tokens[random() % tokens.size()];
    if (std::find(used.begin(), used.end(), std::pair(left, right)) != used.end()) continue;
    used.emplace_back(left, right);
    const auto result = static_cast<std::int32_t>(256 + merges.size());
    merges.push_back({left, right, result});
    tokens.push_back(result);
  }
  return merges;
}

std::string random_text(std::mt19937& random, std::size_t size) {
  std::string text(size, 'a');
  const unsigned letters = 1 + random() % 4;
  for (char& c : text) c = static_cast<char>('a' + random() % letters);
  return text;
}

void expect_as_defined(bool shuffled) {
  std::mt19937 random(shuffled ? 1 : 2);
  Bpe::Scratch scratch;
  for (int round = 0; round < 40; ++round) {
    auto merges = random_merges(random, 30);
    if (shuffled) std::shuffle(merges.begin(), merges.end(), random);
    const Bpe bpe(identity(), merges);
    for (const std::size_t size : {0, 1, 2, 3, 17, 127, 128, 129, 130, 300, 500}) {
      const std::string text = random_text(random, size);
      Ids ids;
      bpe.encode(text, scratch, ids);
      ASSERT_EQ(ids, by_definition(merges, text)) << text;
    }
  }
}

TEST(Bpe, AsDefinedForMergesInTheOrderOfTraining) { expect_as_defined(false); }
TEST(Bpe, AsDefinedForMergesInAnyOrder) { expect_as_defined(true); }

// Tokens a, aa, aaaa, ...: with `reversed` the longer come first in rank.
double seconds_for_one_letter(std::size_t bytes, bool reversed) {
  std::vector<Merge> merges = {{'a', 'a', 256}};
  for (int i = 1; i < 6; ++i) merges.push_back({255 + i, 255 + i, 256 + i});
  if (reversed) std::reverse(merges.begin(), merges.end());
  const Bpe bpe(identity(), merges);
  Bpe::Scratch scratch;
  Ids ids;
  const std::clock_t start = std::clock();
  bpe.encode(std::string(bytes, 'a'), scratch, ids);
  EXPECT_EQ(ids.size(), bytes / 64);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

TEST(Bpe, TenMegabytesOfOneLetter) {
#if defined(__SANITIZE_ADDRESS__)
  const double slack = 20;
#else
  const double slack = 1;
#endif
  EXPECT_LT(seconds_for_one_letter(10'240'000, false), 2 * slack);
  EXPECT_LT(seconds_for_one_letter(1'024'000, true), 2 * slack);
}

}  // namespace
}  // namespace stepstone
