#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"
#include "infer/test_support.h"
#include "infer/token_logprobs.h"
#include "tokenizer/train_bpe.h"

namespace stepstone {
namespace {

// Everything off: the model's own distribution.
SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

std::map<std::int32_t, int> counts(const SamplingParams& params, std::span<const float> logits,
                                   int draws, std::span<const std::int32_t> text = {}) {
  TokenSampler sampler(params);
  std::map<std::int32_t, int> seen;
  for (int n = 0; n < draws; ++n) {
    ++seen[sampler.sample(logits, text, static_cast<std::uint64_t>(n))];
  }
  return seen;
}

// Chi-squared of the counts against softmax(logits / temperature).
double chi_squared(const std::map<std::int32_t, int>& seen, std::span<const float> logits,
                   double temperature, int draws) {
  double total = 0, sum = 0;
  for (const float z : logits) total += std::exp(z / temperature);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double expected = draws * std::exp(logits[i] / temperature) / total;
    const auto it = seen.find(static_cast<std::int32_t>(i));
    const double got = it == seen.end() ? 0 : it->second;
    sum += (got - expected) * (got - expected) / expected;
  }
  return sum;
}

const std::vector<float> kLogits = {0.5f, 2.0f, -1.0f, 0.0f, 1.5f, -0.5f, 1.0f, 0.2f};

TEST(TokenSampler, DrawsFromTheSoftmaxAtAnyTemperature) {
  constexpr int kDraws = 20000;
  for (const double t : {0.5, 1.0, 2.0}) {
    SamplingParams p = plain();
    p.temperature = t;
    p.seed = 7;
    // 7 degrees of freedom: 24.3 is passed once in a thousand. The seed is fixed.
    EXPECT_LT(chi_squared(counts(p, kLogits, kDraws), kLogits, t, kDraws), 24.3) << t;
  }
}

TEST(TokenSampler, SeedAndNumberDecideTheDraw) {
  SamplingParams p = plain();
  TokenSampler a(p), b(p);
  p.seed = 1;
  TokenSampler other(p);
  int same = 0;
  for (std::uint64_t n = 0; n < 200; ++n) {
    // b draws in the opposite order.
    EXPECT_EQ(a.sample(kLogits, {}, n), TokenSampler(a.params()).sample(kLogits, {}, n));
    EXPECT_EQ(b.sample(kLogits, {}, 199 - n),
              TokenSampler(a.params()).sample(kLogits, {}, 199 - n));
    same += a.sample(kLogits, {}, n) == other.sample(kLogits, {}, n);
  }
  EXPECT_LT(same, 100);
}

TEST(TokenSampler, ZeroTemperatureTakesTheFirstOfTheHighest) {
  SamplingParams p;
  p.temperature = 0;
  const std::vector<float> logits = {1, 3, 2, 3};
  EXPECT_EQ(TokenSampler(p).sample(logits, {}, 0), 1);
}

TEST(TokenSampler, TopKKeepsTheLowestIdsAmongEquals) {
  SamplingParams p = plain();
  p.top_k = 2;
  const std::vector<float> logits = {0, 1, 1, 1};
  const auto seen = counts(p, logits, 500);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_TRUE(seen.contains(1) && seen.contains(2));
  p.top_k = 1;
  EXPECT_EQ(counts(p, kLogits, 50), (std::map<std::int32_t, int>{{1, 50}}));
}

TEST(TokenSampler, TopPKeepsTheFewestThatReachIt) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> logits = {std::log(4.0f), std::log(2.0f), 0, 0};
  SamplingParams p = plain();
  p.top_p = 0.45;
  EXPECT_EQ(counts(p, logits, 300).size(), 1u);
  p.top_p = 0.7;
  EXPECT_EQ(counts(p, logits, 300).size(), 2u);
  p.top_p = 0.8;
  const auto seen = counts(p, logits, 300);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_TRUE(seen.contains(2));
  // Temperature comes after: it does not change what top-p keeps.
  p.temperature = 50;
  p.top_p = 0.7;
  EXPECT_EQ(counts(p, logits, 300).size(), 2u);
}

TEST(TokenSampler, MinPIsRelativeToTheBest) {
  const std::vector<float> logits = {std::log(8.0f), std::log(4.1f), std::log(3.9f), 0};
  SamplingParams p = plain();
  p.min_p = 0.5;
  EXPECT_EQ(counts(p, logits, 300).size(), 2u);
  p.min_p = 1;
  EXPECT_EQ(counts(p, logits, 300).size(), 1u);
}

TEST(TokenSampler, PenaltiesCountWhatTheWindowHolds) {
  SamplingParams p = plain();
  p.temperature = 0;
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f};
  const std::vector<std::int32_t> text = {0, 0, 2};
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 0);
  p.repeat_penalty = 1.2;
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 1);
  p.penalty_window = 1;  // sees only token 2
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 0);
  p.penalty_window = -1;
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 1);
  p.repeat_penalty = 1;
  p.frequency_penalty = 0.06;  // 2 · 0.06 > 0.1, while presence alone would not do
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 1);
  p.frequency_penalty = 0;
  p.presence_penalty = 0.06;
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 0);
  p.presence_penalty = 0.11;
  EXPECT_EQ(TokenSampler(p).sample(logits, text, 0), 1);
}

TEST(TokenSampler, RepeatPenaltyLowersNegativeLogitsToo) {
  SamplingParams p = plain();
  p.temperature = 0;
  p.repeat_penalty = 2;
  const std::vector<float> logits = {-1.0f, -1.5f};
  EXPECT_EQ(TokenSampler(p).sample(logits, std::vector<std::int32_t>{0}, 0), 1);
}

TEST(TokenSampler, MaskedTokensAreNeverDrawn) {
  const float none = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {none, 0, none, 0, none};
  for (SamplingParams p : {plain(), SamplingParams{}}) {
    const auto seen = counts(p, logits, 300);
    EXPECT_EQ(seen.size(), 2u);
    EXPECT_TRUE(seen.contains(1) && seen.contains(3));
  }
}

TEST(TokenSampler, RefusesLogitsThatAreNotNumbers) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  TokenSampler sampler{SamplingParams{}};
  for (const std::vector<float>& bad :
       {std::vector<float>{0, nan, 1}, {nan, nan}, {0, inf}, {-inf, -inf}, {}}) {
    EXPECT_THROW(sampler.sample(bad, {}, 0), Error);
  }
}

TEST(SamplingParams, RangesAreChecked) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refuses = [](auto change) {
    SamplingParams p;
    change(p);
    EXPECT_THROW(TokenSampler{p}, UsageError);
  };
  for (const double bad : {-0.1, 101.0, nan}) {
    refuses([&](SamplingParams& p) { p.temperature = bad; });
  }
  refuses([](SamplingParams& p) { p.top_k = -1; });
  for (const double bad : {0.0, -1.0, 1.1, nan}) {
    refuses([&](SamplingParams& p) { p.top_p = bad; });
  }
  for (const double bad : {-0.1, 1.1, nan}) {
    refuses([&](SamplingParams& p) { p.min_p = bad; });
  }
  for (const double bad : {0.0, -1.0, 1e9, nan}) {
    refuses([&](SamplingParams& p) { p.repeat_penalty = bad; });
  }
  for (const double bad : {-2.1, 2.1, nan}) {
    refuses([&](SamplingParams& p) { p.presence_penalty = bad; });
    refuses([&](SamplingParams& p) { p.frequency_penalty = bad; });
  }
  refuses([](SamplingParams& p) { p.penalty_window = -2; });
}

TEST(DryBreakersTest, AreFoundHoweverTheTextIsCut) {
  const Tokenizer tokenizer = testing::tiny_tokenizer();
  const auto unbroken = [&](const std::vector<std::string>& breakers, const std::string& text) {
    return DryBreakers(tokenizer, breakers).unbroken(tokenizer.encode(text));
  };
  EXPECT_EQ(unbroken(DryBreakers::defaults(), "say: yes and\nno or"), 5u);
  EXPECT_EQ(unbroken({"and", "yes a"}, "say: yes and no"), 3u);
  EXPECT_EQ(unbroken({"yes and n", "n"}, "say: yes and no"), 1u);
  EXPECT_EQ(unbroken({"nope"}, "yes and no"), 10u);
  EXPECT_EQ(unbroken({}, "a\nb"), 3u);
  std::vector<std::int32_t> text = {'a', *tokenizer.eos(), 'b'};
  EXPECT_EQ(DryBreakers(tokenizer, {"x"}).unbroken(text), 1u);
  EXPECT_EQ(DryBreakers(tokenizer, {}).unbroken(text), 3u);
  EXPECT_THROW(unbroken({""}, "a"), UsageError);
  EXPECT_THROW(unbroken({std::string(41, 'a')}, "a"), UsageError);
  // Tokens of several bytes, by what all cuts of the text say.
  const Tokenizer words = [] {
    int once = 0;
    return train_bpe(
        [&once](std::string& s) {
          s = "one and two and one and three and two and one and the other and";
          return once++ < 2;
        },
        {.vocab_size = 290});
  }();
  const std::vector<std::string> breakers = {"and t", "e o"};
  const std::string all = "one and two and one other three and two";
  const auto tokens = words.encode(all);
  ASSERT_LT(tokens.size(), all.size());
  for (std::size_t n = 0; n <= tokens.size(); ++n) {
    const auto part = std::span(tokens).first(n);
    std::string bytes;
    std::vector<std::size_t> ends;
    for (const std::int32_t id : part) ends.push_back((bytes += words.token_bytes(id)).size());
    std::size_t last = 0;  // byte behind the breaker that ends last
    for (const std::string& b : breakers) {
      const std::size_t at = bytes.rfind(b);
      if (at != std::string::npos) last = std::max(last, at + b.size());
    }
    const auto covered =
        static_cast<std::size_t>(std::ranges::lower_bound(ends, last) - ends.begin());
    EXPECT_EQ(DryBreakers(words, breakers).unbroken(part), last == 0 ? n : n - covered - 1)
        << bytes;
  }
}

// DRY by its definition, for the argmax that a temperature of 0 shows.
TEST(TokenSampler, DryPenalisesWhatWouldGoOnRepeating) {
  SamplingParams p = plain();
  p.temperature = 0;
  p.dry_multiplier = 0.7;
  p.dry_breakers =
      std::make_shared<const DryBreakers>(Tokenizer::bytes(), std::vector<std::string>{"\x05"});
  TokenSampler sampler(p);
  std::uint64_t random = 1;
  const auto next = [&random](std::uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % n;
  };
  int penalised = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<std::int32_t> text(1 + next(30));
    for (auto& id : text) id = static_cast<std::int32_t>(next(3 + next(4)));
    std::vector<double> expected(8);
    std::vector<float> logits(8);
    for (std::size_t i = 0; i < 8; ++i) {
      logits[i] = static_cast<float>(next(100)) / 50;
      std::int64_t longest = 0;
      for (std::size_t end = 1; end < text.size(); ++end) {  // text[end] is this token
        if (text[end] != static_cast<std::int32_t>(i)) continue;
        std::size_t length = 0;
        while (length < end && text[end - 1 - length] == text[text.size() - 1 - length] &&
               text[text.size() - 1 - length] != 5) {
          ++length;
        }
        longest = std::max(longest, static_cast<std::int64_t>(length));
      }
      const double penalty = longest >= 2 ? 0.7 * std::pow(1.75, longest - 2) : 0;
      expected[i] = logits[i] - static_cast<float>(penalty);
      penalised += penalty > 0;
    }
    const auto best = std::max_element(expected.begin(), expected.end()) - expected.begin();
    const auto got = sampler.sample(logits, text, 0);
    EXPECT_NEAR(expected[static_cast<std::size_t>(got)], expected[static_cast<std::size_t>(best)],
                1e-6);
  }
  EXPECT_GT(penalised, 200);
}

TEST(TokenSampler, TypicalKeepsTheUsualSurprise) {
  SamplingParams p = plain();
  p.typical_p = 0.5;
  // 0.4, 0.2, 0.2, 0.1, 0.1: the entropy is 2.12 bits, so 0.2 (2.32 bits) is the most usual, then
  // 0.4 (1.32 bits) before 0.1 (3.32 bits).
  const std::vector<float> logits = {std::log(0.4f), std::log(0.2f), std::log(0.2f), std::log(0.1f),
                                     std::log(0.1f)};
  const auto seen = counts(p, logits, 2000);
  EXPECT_TRUE(seen.contains(0) && seen.contains(1) && seen.contains(2));
  EXPECT_FALSE(seen.contains(3) || seen.contains(4));
  p.typical_p = 0.3;
  EXPECT_FALSE(counts(p, logits, 2000).contains(0));
}

TEST(TokenSampler, MirostatHoldsTheSurprise) {
  std::vector<float> logits(200);
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = -std::log(static_cast<float>(i + 1));
    total += 1.0 / static_cast<double>(i + 1);
  }
  for (const double tau : {1.0, 2.5, 4.0}) {
    SamplingParams p = plain();
    p.mirostat = true;
    p.mirostat_tau = tau;
    TokenSampler sampler(p);
    // What is left after mu is drawn from renewed probabilities: their mean surprise is tau.
    double late = 0;
    constexpr int kDraws = 4000;
    std::set<std::int32_t> kinds;
    for (int n = 0; n < kDraws; ++n)
      kinds.insert(sampler.sample(logits, {}, static_cast<std::uint64_t>(n)));
    for (const std::int32_t id : kinds) late = std::max(late, std::log2(total * (id + 1)));
    EXPECT_GT(late, tau);
    EXPECT_LT(late, 3 * tau + 3) << tau;
  }
}

TEST(TokenLogprobs, OutputThatIsNotANumberIsAnError) {
  std::vector<float> logits = {0.0f, 1.0f, -std::numeric_limits<float>::infinity()};
  EXPECT_NEAR(score_token(logits, 1, 3, 0).token.logprob, -0.3132617f, 1e-6f);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    logits[0] = bad;
    EXPECT_THROW(score_token(logits, 1, 3, 0), Error);
  }
}

}  // namespace
}  // namespace stepstone
