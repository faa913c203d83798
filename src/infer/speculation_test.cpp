#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/random.h"
#include "infer/draft.h"
#include "infer/scheduler.h"
#include "infer/test_support.h"

namespace stepstone {
namespace {

using Tokens = std::vector<std::int32_t>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::tiny_tokenizer;

TEST(LookedUp, IsWhatFollowedTheLatestOfTheLongestMatches) {
  const Tokens text = {1, 2, 3, 4, 5, 9, 2, 3, 6, 7, 1, 2, 3};
  EXPECT_THAT(looked_up(text, 2, 3), ElementsAre(4, 5, 9));  // 1 2 3, not the later 2 3
  EXPECT_THAT(looked_up(text, 3, 2), ElementsAre(4, 5));
  EXPECT_THAT(looked_up(text, 4, 2), IsEmpty());
  EXPECT_THAT(looked_up(Tokens{7}, 1, 4), IsEmpty());
  EXPECT_THAT(looked_up(Tokens{1, 2, 8, 1, 2, 9, 1, 2}, 2, 1), ElementsAre(9));
  // On into itself.
  EXPECT_THAT(looked_up(Tokens{5, 1, 2, 1, 2}, 2, 5), ElementsAre(1, 2, 1, 2, 1));
  EXPECT_THAT(looked_up(Tokens{3, 3, 3}, 1, 4), ElementsAre(3, 3, 3, 3));
}

TEST(DraftLength, GrowsWithSuccessAndEndsWithout) {
  DraftLength length;
  EXPECT_GT(length.length(0.06), 0);
  for (int i = 0; i < 30; ++i) length.observe(4, false);
  EXPECT_GT(length.length(0.06), 30);
  EXPECT_LT(length.length(0.5), length.length(0.06));
  EXPECT_EQ(length.length(1.2), 0);
  for (int i = 0; i < 60; ++i) length.observe(0, true);
  EXPECT_EQ(length.length(0.06), 0);
  for (int i = 0; i < 100; ++i) length.rest();
  EXPECT_GT(length.length(0.06), 0);
}

// A model and one of a third of its layers: those that are missing do little.
struct Pair {
  std::unique_ptr<Transformer> target;
  std::shared_ptr<const Stone> draft;

  explicit Pair(const std::string& family, float rest) {
    TransformerConfig config = testing::tiny_config(family, 256);
    auto small = std::make_unique<Transformer>(config);
    const InitOptions init{
        .seed = 3, .embedding_std = 0.5f, .matrix_gain = 1.5f, .residual_gain = 1, .head_gain = 6};
    small->initialize(init);
    config.layers = 6;
    target = std::make_unique<Transformer>(config);
    target->initialize(init);
    std::map<std::string, const nn::Parameter*> known;
    for (const auto& p : small->parameters()) known[p.name] = &p;
    for (auto& p : target->parameters()) {
      if (const auto at = known.find(p.name); at != known.end()) {
        p.var.value().copy_from(at->second->var.value());
      } else if (p.role == nn::Role::residual_matrix) {
        for (float& w : p.var.value().span<float>()) w *= rest;
      }
    }
    auto stone = std::make_shared<Stone>(Stone{.folder = "draft",
                                               .model = std::move(small),
                                               .tokenizer = tiny_tokenizer(),
                                               .chat_template = {},
                                               .about = {}});
    stone->model->pack(stone->compute);
    draft = std::move(stone);
    target->pack(DType::f32);
  }
};

struct Result {
  std::string text;
  Tokens tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::none;
  EngineUsage usage = {};
  bool operator==(const Result& o) const {
    return text == o.text && tokens == o.tokens && logprobs == o.logprobs && finish == o.finish;
  }
};

// All requests at once, as far as the scheduler has room.
std::vector<Result> texts(Scheduler& scheduler, const std::vector<EngineRequest>& requests) {
  std::vector<Result> results(requests.size());
  std::size_t done = 0, begun = 0;
  while (done < requests.size()) {
    while (begun < requests.size() && scheduler.room() > 0) {
      auto job = std::make_shared<EngineJob>();
      job->request = requests[begun];
      job->request.on_event = [&done, &r = results[begun]](EngineEvent e) {
        r.text += e.text;
        r.tokens.insert(r.tokens.end(), e.tokens.begin(), e.tokens.end());
        for (const auto& s : e.logprobs) {
          r.logprobs.push_back(s.token.logprob);
          for (const auto& t : s.top) r.logprobs.push_back(t.logprob);
        }
        r.finish = e.finish;
        r.usage = e.usage;
        if (e.finish != FinishReason::none) ++done;
      };
      scheduler.check(job->request);
      scheduler.add(std::move(job));
      ++begun;
    }
    scheduler.step();
  }
  return results;
}

// 16 texts of all kinds, every second one without speculation.
std::vector<EngineRequest> requests() {
  const auto list = std::make_shared<const Grammar>(Grammar::from_json_schema(
      R"({"type": "array", "items": {"enum": ["abc", "abd", "b"]}, "minItems": 4})"));
  std::vector<EngineRequest> all;
  for (std::size_t i = 0; i < 16; ++i) {
    EngineRequest r;
    Random random(i);
    for (std::size_t n = 0; n < 4 + i * 7 % 60; ++n) {
      r.prompt.push_back(static_cast<std::int32_t>(n < 20 ? random.below(256) : r.prompt[n - 20]));
    }
    r.max_tokens = 60;
    r.sampling.temperature = i % 3 == 0 ? 0 : 0.5;
    r.sampling.top_k = i % 5 == 0 ? 3 : 40;
    r.sampling.seed = 100 + i;
    r.sampling.mirostat = i == 4;
    r.sampling.frequency_penalty = i == 7 ? 0.5 : 0;
    if (i == 8) r.logit_bias = {{65, 4.0f}};
    if (i % 4 >= 2) r.grammar = list;
    if (i == 10) r.stop_strings = {"bd"};
    r.stop_tokens = {10, *tiny_tokenizer().eos()};
    if (i % 8 == 5) r.when_full = WhenFull::forget, r.max_tokens = 260;
    r.top_logprobs = i % 2 == 0 ? 1 : -1;
    if (i % 2 == 1 && i != 5) r.speculation.most = 0;
    all.push_back(std::move(r));
  }
  return all;
}

class Speculation : public ::testing::TestWithParam<std::tuple<std::string, float>> {};

TEST_P(Speculation, SixteenTextsAreEachTheTextAlone) {
  const Pair pair(std::get<0>(GetParam()), std::get<1>(GetParam()));
  const auto all = requests();
  std::vector<Result> alone;
  for (const EngineRequest& r : all) {
    Scheduler one(*pair.target, tiny_tokenizer(), DType::f32, {.max_sequences = 1, .reuse = false});
    alone.push_back(texts(one, {r})[0]);
  }
  const std::int64_t page = KvPool::page_bytes(pair.target->config(), DType::f32);
  const SpeculationOptions lookup{.lookup = true, .lookup_match = 2};
  const SpeculationOptions model{.model = pair.draft};
  const SpeculationOptions both{.lookup = true, .model = pair.draft};
  const EngineOptions ways[] = {
      {.max_sequences = 16, .speculation = lookup},
      {.max_sequences = 16, .step_tokens = 11, .speculation = lookup},
      {.max_sequences = 1, .speculation = lookup},
      {.max_sequences = 16, .kv_bytes = 6 * page, .speculation = lookup},
      {.max_sequences = 3, .speculation = model},
      {.max_sequences = 1, .speculation = model},
      {.max_sequences = 4, .kv_bytes = 8 * page, .reuse = false, .speculation = both},
      {.max_sequences = 2, .step_tokens = 9, .speculation = both}};
  std::int64_t by_model = 0, by_lookup = 0;
  for (const EngineOptions& options : ways) {
    Scheduler scheduler(*pair.target, tiny_tokenizer(), DType::f32, options);
    const auto together = texts(scheduler, all);
    std::int64_t drafted = 0, accepted = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(together[i], alone[i]) << "text " << i << ", way " << &options - ways;
      EXPECT_TRUE(all[i].speculation.most != 0 || together[i].usage.drafted_tokens == 0);
      drafted += together[i].usage.drafted_tokens;
      accepted += together[i].usage.accepted_tokens;
    }
    (options.speculation.model ? by_model : by_lookup) += accepted;
    const EngineMetrics m = scheduler.metrics();
    EXPECT_EQ(m.drafted_tokens, drafted);
    EXPECT_EQ(m.accepted_tokens, accepted);
    EXPECT_LT(m.accepted_tokens, m.generated_tokens);
  }
  EXPECT_GT(by_model, 50);
  EXPECT_GT(by_lookup, 50);
}

INSTANTIATE_TEST_SUITE_P(Pairs, Speculation,
                         ::testing::Values(std::tuple("qwen3", 0.1f), std::tuple("gpt2", 0.0f),
                                           std::tuple("stepstone", 0.1f)));

TEST(SpeculationTest, AGoodDraftModelSavesSteps) {
  const Pair pair("qwen3", 0);
  EngineRequest r;
  r.prompt = {65, 66, 67, 68};
  r.max_tokens = 200;
  r.sampling.seed = 4;
  Scheduler plain(*pair.target, tiny_tokenizer(), DType::f32, {.max_sequences = 1});
  Scheduler fast(*pair.target, tiny_tokenizer(), DType::f32,
                 {.max_sequences = 1, .speculation = {.model = pair.draft}});
  const auto expected = texts(plain, {r});
  EXPECT_EQ(texts(fast, {r}), expected);
  EXPECT_EQ(plain.metrics().steps, 200);
  EXPECT_LT(fast.metrics().steps, 100);
  EXPECT_EQ(fast.metrics().drafted_tokens, fast.metrics().accepted_tokens);
}

TEST(SpeculationTest, ARequestMayLimitIt) {
  const Pair pair("qwen3", 0.03f);
  struct Outcome {
    std::vector<Result> texts;
    std::int64_t drafted = 0, accepted = 0;
    double right() const { return static_cast<double>(accepted) / static_cast<double>(drafted); }
  };
  const auto outcome = [&](const SpeculationLimits& limits) {
    Scheduler scheduler(*pair.target, tiny_tokenizer(), DType::f32,
                        {.max_sequences = 1, .speculation = {.model = pair.draft}});
    std::vector<EngineRequest> requests(6);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests[i].prompt = {65, 66, 67, static_cast<std::int32_t>(68 + i)};
      requests[i].max_tokens = 200;
      requests[i].sampling.seed = i;
      requests[i].speculation = limits;
    }
    Outcome o{.texts = texts(scheduler, requests)};
    for (const Result& r : o.texts) {
      o.drafted += r.usage.drafted_tokens;
      o.accepted += r.usage.accepted_tokens;
    }
    return o;
  };
  const Outcome all = outcome({});
  ASSERT_GT(all.drafted, 100);
  ASSERT_LT(all.right(), 1);
  for (const SpeculationLimits& limits :
       {SpeculationLimits{.most = 0}, SpeculationLimits{.p_min = 1},
        SpeculationLimits{.most = 3, .least = 4}}) {
    const Outcome none = outcome(limits);
    EXPECT_EQ(none.texts, all.texts);
    EXPECT_EQ(none.drafted, 0);
  }
  const Outcome sure = outcome({.p_min = 0.8});
  EXPECT_EQ(sure.texts, all.texts);
  EXPECT_GT(sure.drafted, 20);
  EXPECT_LT(sure.drafted, all.drafted);
  EXPECT_GT(sure.right(), all.right());
}

TEST(SpeculationTest, ADraftModelOfOtherTokensIsRefused) {
  const Pair pair("qwen3", 0);
  const auto other = std::make_shared<Stone>(Stone{.folder = "other",
                                                   .model = testing::tiny_model("qwen3"),
                                                   .tokenizer = Tokenizer::bytes(),
                                                   .chat_template = {},
                                                   .about = {}});
  EXPECT_THROW(
      Scheduler(*pair.target, tiny_tokenizer(), DType::f32, {.speculation = {.model = other}}),
      UsageError);
}

// A draft model whose output is not a number is not asked again, and the text is what it was.
TEST(SpeculationTest, ADamagedDraftModelChangesNothing) {
  const Pair pair("qwen3", 0);
  auto broken = std::make_shared<Stone>(Stone{.folder = "broken",
                                              .model = testing::tiny_model("qwen3", 256),
                                              .tokenizer = tiny_tokenizer(),
                                              .chat_template = {},
                                              .about = {}});
  for (auto& p : broken->model->parameters()) {
    if (p.role == nn::Role::vector) p.var.value().span<float>()[0] = NAN;
  }
  broken->model->pack(broken->compute);
  EngineRequest r;
  r.prompt = {65, 66, 67, 68};
  r.max_tokens = 50;
  Scheduler plain(*pair.target, tiny_tokenizer(), DType::f32, {});
  Scheduler other(*pair.target, tiny_tokenizer(), DType::f32, {.speculation = {.model = broken}});
  EXPECT_EQ(texts(other, {r}), texts(plain, {r}));
}

}  // namespace
}  // namespace stepstone
