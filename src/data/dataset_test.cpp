#include "data/dataset.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "core/error.h"

namespace stepstone {
namespace {

std::vector<std::int32_t> read(const Dataset& dataset, TokenRange range) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(range.size()));
  dataset.copy_tokens(range, out.data());
  return out;
}

Dataset sample() {
  std::vector<std::int32_t> tokens(20);
  std::iota(tokens.begin(), tokens.end(), 100);
  const std::uint64_t starts[] = {0, 5, 5, 12, 20};
  return Dataset::from_tokens(tokens, starts);
}

TEST(Dataset, DocumentsAndTokens) {
  const Dataset dataset = sample();
  EXPECT_EQ(dataset.tokens(), 20);
  EXPECT_EQ(dataset.documents(), 4);
  EXPECT_EQ(dataset.document(1).size(), 0);
  EXPECT_EQ(read(dataset, dataset.document(2)),
            (std::vector<std::int32_t>{105, 106, 107, 108, 109, 110, 111}));
  EXPECT_THROW(dataset.document(4), Error);
  EXPECT_THROW(read(dataset, {15, 21}), Error);
}

TEST(Dataset, SeveralShardsAreOneStream) {
  std::vector<ShardView> shards;
  std::vector<std::vector<std::uint16_t>> tokens = {{1, 2, 3}, {}, {4, 5, 6, 7}};
  std::vector<std::vector<std::uint64_t>> starts = {{0, 1, 3}, {0}, {0, 4}};
  for (std::size_t i = 0; i < 3; ++i) {
    shards.push_back({std::span<const std::uint16_t>(tokens[i]), starts[i], {}, nullptr});
  }
  const Dataset dataset(shards);
  EXPECT_EQ(dataset.tokens(), 7);
  EXPECT_EQ(dataset.documents(), 3);
  EXPECT_EQ(read(dataset, {0, 7}), (std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(read(dataset, dataset.document(2)), (std::vector<std::int32_t>{4, 5, 6, 7}));
}

TEST(Dataset, KnowsWhetherAnythingIsToBePredicted) {
  const std::vector<std::int32_t> tokens(6, 1);
  const std::uint64_t starts[] = {0, 3, 6};
  const auto with_mask = [&](std::vector<std::uint8_t> mask) {
    return Dataset::from_tokens(tokens, starts, mask);
  };
  EXPECT_TRUE(Dataset::from_tokens(tokens).has_target());
  EXPECT_FALSE(with_mask({0, 0, 0, 0, 0, 0}).has_target());
  // A document's first token has none before it.
  EXPECT_FALSE(with_mask({1, 0, 0, 1, 0, 0}).has_target());
  EXPECT_TRUE(with_mask({0, 0, 0, 0, 0, 1}).has_target());
  EXPECT_FALSE(with_mask({0, 0, 0, 0, 0, 1}).slice(0, 5).has_target());
}

TEST(Dataset, SliceCutsDocuments) {
  const Dataset part = sample().slice(3, 13);
  EXPECT_EQ(part.tokens(), 10);
  ASSERT_EQ(part.documents(), 4);
  EXPECT_EQ(read(part, part.document(0)), (std::vector<std::int32_t>{103, 104}));
  EXPECT_EQ(read(part, part.document(3)), (std::vector<std::int32_t>{112}));
  const Dataset inner = part.slice(2, 9);
  EXPECT_EQ(read(inner, inner.range()),
            (std::vector<std::int32_t>{105, 106, 107, 108, 109, 110, 111}));
  EXPECT_EQ(sample().slice(4, 4).documents(), 0);
  EXPECT_THROW(part.slice(0, 11), UsageError);
}

TEST(Dataset, SplitByHashKeepsEqualDocumentsTogether) {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint64_t> starts = {0};
  for (int i = 0; i < 1000; ++i) {
    tokens.push_back(i % 250);  // every document four times
    tokens.push_back(7);
    starts.push_back(tokens.size());
  }
  const auto [train, val] = Dataset::from_tokens(tokens, starts).split_by_hash(0.2);
  EXPECT_EQ(train.documents() + val.documents(), 1000);
  EXPECT_EQ(train.tokens() + val.tokens(), 2000);
  EXPECT_GT(val.documents(), 100);
  EXPECT_LT(val.documents(), 300);
  std::set<std::int32_t> seen[2];
  for (std::int64_t i = 0; i < train.documents(); ++i) {
    seen[0].insert(read(train, train.document(i))[0]);
  }
  for (std::int64_t i = 0; i < val.documents(); ++i) {
    seen[1].insert(read(val, val.document(i))[0]);
  }
  for (const std::int32_t id : seen[1]) EXPECT_FALSE(seen[0].contains(id));
  EXPECT_FALSE(val.is_contiguous());
  EXPECT_THROW(val.slice(0, 1), UsageError);
}

TEST(Dataset, Mask) {
  const std::vector<std::int32_t> tokens(20, 1);
  std::vector<std::uint8_t> mask(20);
  for (std::size_t i = 0; i < 20; i += 3) mask[i] = 1;
  const Dataset dataset = Dataset::from_tokens(tokens, {}, mask);
  std::vector<std::uint8_t> out(20);
  dataset.copy_mask({0, 20}, out.data());
  EXPECT_EQ(out, mask);
  EXPECT_TRUE(dataset.has_mask());
}

TEST(Dataset, RefusesInconsistentInput) {
  const std::vector<std::int32_t> tokens(4, 1);
  const std::uint64_t falling[] = {0, 3, 2, 4}, short_of[] = {0, 3}, late[] = {1, 4};
  EXPECT_THROW(Dataset::from_tokens(tokens, falling), UsageError);
  EXPECT_THROW(Dataset::from_tokens(tokens, short_of), UsageError);
  EXPECT_THROW(Dataset::from_tokens(tokens, late), UsageError);
  EXPECT_THROW(Dataset::from_tokens(std::vector<std::int32_t>{-1}), UsageError);
  const std::uint8_t mask[] = {1};
  EXPECT_THROW(Dataset::from_tokens(tokens, {}, mask), UsageError);
}

}  // namespace
}  // namespace stepstone
