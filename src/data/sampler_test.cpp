#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "data/packing.h"
#include "data/permutation.h"

namespace stepstone {
namespace {

// Tokens 0, 1, 2, … so that each token tells where it is; document lengths vary.
Dataset counted(int documents, int longest, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<std::uint64_t> starts = {0};
  for (int i = 0; i < documents; ++i) {
    starts.push_back(starts.back() + random.below(static_cast<std::uint64_t>(longest) + 1));
  }
  std::vector<std::int32_t> tokens(starts.back());
  std::iota(tokens.begin(), tokens.end(), 0);
  return Dataset::from_tokens(tokens, starts);
}

void check_shape(const Batch& batch, std::int64_t rows, std::int64_t cols) {
  const auto size = static_cast<std::size_t>(rows * cols);
  ASSERT_EQ(batch.tokens.size(), size);
  ASSERT_EQ(batch.targets.size(), size);
  ASSERT_EQ(batch.positions.size(), size);
  ASSERT_GE(batch.segments.size(), static_cast<std::size_t>(rows) + 1);
  EXPECT_EQ(batch.segments.front(), 0);
  EXPECT_EQ(batch.segments.back(), rows * cols);
  EXPECT_TRUE(std::is_sorted(batch.segments.begin(), batch.segments.end()));
  for (std::int64_t row = 0; row < rows; ++row) {  // no segment crosses a row
    EXPECT_TRUE(std::binary_search(batch.segments.begin(), batch.segments.end(), row * cols));
  }
  for (std::size_t s = 0; s + 1 < batch.segments.size(); ++s) {
    EXPECT_LT(batch.segments[s], batch.segments[s + 1]);
    for (std::int32_t i = batch.segments[s]; i < batch.segments[s + 1]; ++i) {
      ASSERT_EQ(batch.positions[static_cast<std::size_t>(i)], i - batch.segments[s]);
    }
  }
  std::int64_t targets = 0;
  for (const std::int32_t target : batch.targets) targets += target >= 0;
  EXPECT_EQ(batch.target_tokens, targets);
}

TEST(Permutation, IsABijection) {
  for (const std::uint64_t n : {1u, 2u, 3u, 7u, 64u, 65u, 1000u}) {
    std::set<std::uint64_t> seen;
    const Permutation permutation(n, 5, 9);
    for (std::uint64_t i = 0; i < n; ++i) {
      EXPECT_LT(permutation.at(i), n);
      seen.insert(permutation.at(i));
    }
    EXPECT_EQ(seen.size(), n);
  }
  int fixed = 0;
  const Permutation permutation(1000, 5, 9), other(1000, 5, 10);
  int same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    fixed += permutation.at(i) == i;
    same += permutation.at(i) == other.at(i);
  }
  EXPECT_LT(fixed, 10);
  EXPECT_LT(same, 10);
}

TEST(Packing, UsesEveryPairOnceAndPadsLittle) {
  const Dataset dataset = counted(2000, 150);
  std::vector<std::int64_t> all(2000);
  std::iota(all.begin(), all.end(), 0);
  const std::int64_t cols = 64;
  const PackedRows packed = pack_documents(dataset, all, cols);
  std::set<std::int64_t> predicted;
  std::int64_t inputs = 0;
  for (std::int64_t r = 0; r < packed.rows(); ++r) {
    std::int64_t width = 0;
    for (const Piece& piece : packed.row(r)) {
      width += piece.inputs;
      for (std::int64_t i = 1; i <= piece.inputs; ++i) predicted.insert(piece.begin + i);
    }
    EXPECT_LE(width, cols);
    EXPECT_GT(width, 0);
    inputs += width;
  }
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < 2000; ++i) {
    expected += std::max<std::int64_t>(0, dataset.document(i).size() - 1);
  }
  EXPECT_EQ(inputs, expected);
  EXPECT_EQ(static_cast<std::int64_t>(predicted.size()), expected);
  EXPECT_GT(static_cast<double>(inputs) / static_cast<double>(packed.rows() * cols), 0.97);
}

TEST(Sampler, PackedEpochHasEveryTargetOnce) {
  const Dataset dataset = counted(300, 50);
  SamplerOptions options;
  options.rows = 4;
  options.cols = 32;
  options.window = 64;
  Sampler sampler({{dataset}}, options);
  std::map<std::int32_t, int> seen;
  Batch batch;
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    expected += std::max<std::int64_t>(0, dataset.document(i).size() - 1);
  }
  std::int64_t total = 0;
  while (total < expected) {
    sampler.next(batch);
    check_shape(batch, 4, 32);
    for (std::size_t i = 0; i < batch.targets.size(); ++i) {
      if (batch.targets[i] < 0) continue;
      EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
      ++seen[batch.targets[i]];
      ++total;
    }
  }
  // The batch that ends the epoch may already hold rows of the next one.
  int twice = 0;
  for (const auto& [id, count] : seen) twice += count - 1;
  EXPECT_LE(twice, 3 * 32);
  EXPECT_EQ(static_cast<std::int64_t>(seen.size()), expected);
}

TEST(Sampler, EpochsDifferAndSeedsDiffer) {
  const Dataset dataset = counted(200, 20);
  SamplerOptions options;
  options.cols = 32;
  options.window = 16;
  Sampler one({{dataset}}, options), again({{dataset}}, options);
  options.seed = 2;
  Sampler two({{dataset}}, options);
  Batch a, b, c;
  int same = 0;
  for (int i = 0; i < 30; ++i) {
    one.next(a);
    again.next(b);
    two.next(c);
    EXPECT_EQ(a.tokens, b.tokens);
    same += a.tokens == c.tokens;
  }
  EXPECT_LT(same, 3);
}

class Resume : public ::testing::TestWithParam<SamplingMode> {};

TEST_P(Resume, GoesOnExactly) {
  const std::vector<MixtureEntry> mixture = {{counted(100, 40, 1), 3}, {counted(50, 60, 2), 1}};
  SamplerOptions options;
  options.mode = GetParam();
  options.rows = 3;
  options.cols = 24;
  options.window = 16;
  Sampler whole(mixture, options);
  std::vector<Batch> batches(120);
  std::vector<SamplerState> states;
  for (Batch& batch : batches) {
    states.push_back(whole.state());
    whole.next(batch);
  }
  for (std::size_t at = 0; at < batches.size(); at += 7) {
    const std::string saved = dump_json(to_json(states[at]));
    const SamplerState loaded = sampler_state_from_json(parse_json(saved, "state"), "state");
    EXPECT_EQ(loaded, states[at]);
    Sampler resumed(mixture, options);
    resumed.restore(loaded);
    for (std::size_t i = at; i < std::min(at + 10, batches.size()); ++i) {
      Batch batch;
      resumed.next(batch);
      EXPECT_EQ(batch.tokens, batches[i].tokens);
      EXPECT_EQ(batch.targets, batches[i].targets);
      EXPECT_EQ(batch.segments, batches[i].segments);
    }
  }
  // Shares are exact.
  const auto& sources = whole.state().sources;
  EXPECT_EQ(sources[0].rows, 270);
  EXPECT_EQ(sources[1].rows, 90);
}

INSTANTIATE_TEST_SUITE_P(Modes, Resume,
                         ::testing::Values(SamplingMode::contiguous, SamplingMode::packed));

TEST(Sampler, ContiguousWindowsAreAnywhere) {
  std::vector<std::int32_t> tokens(100);
  std::iota(tokens.begin(), tokens.end(), 0);
  SamplerOptions options;
  options.mode = SamplingMode::contiguous;
  options.rows = 8;
  options.cols = 10;
  // The second half only: the slice must be obeyed.
  Sampler sampler({{Dataset::from_tokens(tokens).slice(50, 100)}}, options);
  std::set<std::int32_t> begins;
  Batch batch;
  for (int i = 0; i < 100; ++i) {
    sampler.next(batch);
    check_shape(batch, 8, 10);
    EXPECT_EQ(batch.segments.size(), 9u);
    for (std::size_t row = 0; row < 8; ++row) begins.insert(batch.tokens[row * 10]);
    for (std::size_t k = 0; k < 80; ++k) EXPECT_EQ(batch.targets[k], batch.tokens[k] + 1);
  }
  EXPECT_EQ(*begins.begin(), 50);
  EXPECT_EQ(*begins.rbegin(), 89);
  EXPECT_EQ(begins.size(), 40u);
}

TEST(Sampler, MaskAndBytes) {
  const std::vector<std::int32_t> tokens = {0, 1, 2, 3, 4, 5};
  const std::uint8_t mask[] = {0, 0, 1, 1, 0, 1};
  SamplerOptions options;
  options.cols = 8;
  options.token_bytes = {1, 2, 3, 4, 5, 6};
  options.pad_id = 9;
  Sampler sampler({{Dataset::from_tokens(tokens, {}, mask)}}, options);
  Batch batch;
  sampler.next(batch);
  EXPECT_EQ(batch.targets, (std::vector<std::int32_t>{-1, 2, 3, -1, 5, -1, -1, -1}));
  EXPECT_EQ(batch.tokens, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 9, 9, 9}));
  EXPECT_EQ(batch.segments, (std::vector<std::int32_t>{0, 5, 8}));
  EXPECT_EQ(batch.target_tokens, 3);
  EXPECT_EQ(batch.target_bytes, 3 + 4 + 6);
}

TEST(EvalBatches, CoverEveryTokenOnce) {
  const Dataset dataset = counted(100, 30);
  for (const SamplingMode mode : {SamplingMode::contiguous, SamplingMode::packed}) {
    SamplerOptions options;
    options.mode = mode;
    options.rows = 3;
    options.cols = 16;
    const EvalBatches batches(dataset, options);
    std::set<std::int32_t> seen;
    std::int64_t total = 0;
    Batch batch;
    for (std::int64_t i = 0; i < batches.size(); ++i) {
      batches.get(i, batch);
      check_shape(batch, 3, 16);
      total += batch.target_tokens;
      for (const std::int32_t target : batch.targets) {
        if (target >= 0) seen.insert(target);
      }
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), total);
    if (mode == SamplingMode::contiguous) {
      EXPECT_EQ(total, dataset.tokens() - 1);
    }
    EXPECT_THROW(batches.get(batches.size(), batch), Error);
  }
}

TEST(Sampler, RefusesWhatItCannotSample) {
  SamplerOptions options;
  options.cols = 8;
  const std::vector<std::int32_t> few = {1, 2, 3}, one = {1};
  EXPECT_THROW(Sampler({}, options), UsageError);
  EXPECT_THROW(Sampler({{Dataset::from_tokens(few), 0}}, options), UsageError);
  EXPECT_THROW(Sampler({{Dataset::from_tokens(few), -1}}, options), UsageError);
  EXPECT_THROW(Sampler({{Dataset::from_tokens(one)}}, options), UsageError);
  options.mode = SamplingMode::contiguous;
  EXPECT_THROW(Sampler({{Dataset::from_tokens(few)}}, options), UsageError);
  EXPECT_THROW(Sampler({{counted(100, 9).split_by_hash(0.5).first}}, options), UsageError);
  options.rows = 0;
  EXPECT_THROW(Sampler({{counted(100, 9)}}, options), UsageError);
  options.rows = std::int64_t{1} << 40;
  EXPECT_THROW(Sampler({{counted(100, 9)}}, options), UsageError);
}

TEST(Sampler, RefusesForeignStates) {
  SamplerOptions options;
  options.cols = 8;
  options.window = 10;
  Sampler sampler({{counted(100, 9)}}, options);
  EXPECT_THROW(sampler.restore({0, {}}), UsageError);
  EXPECT_THROW(sampler.restore({0, {{0, 0, 10, 0}}}), UsageError);
  EXPECT_THROW(sampler.restore({0, {{0, 0, 0, 1000}}}), UsageError);
  EXPECT_THROW(sampler.restore({-1, {{0, 0, 0, 0}}}), UsageError);
  EXPECT_THROW(sampler.restore({0, {{0, -1, 0, 0}}}), UsageError);
  EXPECT_THROW(sampler_state_from_json(parse_json("{\"step\":1}", "s"), "s"), FormatError);
  EXPECT_NO_THROW(sampler.restore({5, {{5, 1, 9, 0}}}));
}

}  // namespace
}  // namespace stepstone
