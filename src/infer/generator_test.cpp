#include "infer/generator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "core/random.h"
#include "infer/test_support.h"
#include "io/utf8.h"
#include "stone/end_tokens.h"

namespace stepstone {
namespace {

using testing::tiny_model;
using testing::tiny_tokenizer;

std::vector<std::int32_t> random_tokens(int n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back(static_cast<std::int32_t>(random.below(256)));
  return tokens;
}

EngineRequest drawn(std::vector<std::int32_t> prompt, std::int64_t n) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = n;
  request.when_full = WhenFull::stop;
  return request;
}

EngineRequest greedy(std::vector<std::int32_t> prompt, std::int64_t n) {
  EngineRequest request = drawn(std::move(prompt), n);
  request.sampling.temperature = 0;
  return request;
}

class EveryModel : public ::testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  std::unique_ptr<Transformer> model = tiny_model(std::get<0>(GetParam()), 256);
  DType compute = std::get<1>(GetParam());

  // All logits of `tokens`, as training sees them.
  Tensor whole(std::span<const std::int32_t> tokens) {
    std::vector<std::int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<std::int32_t> segments = {0, static_cast<std::int32_t>(tokens.size())};
    Graph graph({.compute = compute});
    return model->logits(graph, model->hidden(graph, {tokens, positions, segments}).value());
  }

  // The same through the cache, in pieces of `size`.
  Tensor in_pieces(std::span<const std::int32_t> tokens, std::size_t size) {
    KvCache cache(model->config(), 256, compute);
    const Tensor out = Tensor::empty(
        {static_cast<std::int64_t>(tokens.size()), model->config().vocab_size}, DType::f32);
    for (std::size_t i = 0; i < tokens.size(); i += size) {
      const auto piece = tokens.subspan(i, std::min(size, tokens.size() - i));
      Graph graph({.compute = compute});
      const auto begin = static_cast<std::int64_t>(i);
      out.slice(begin, begin + static_cast<std::int64_t>(piece.size()))
          .copy_from(model->logits(graph, model->hidden(graph, piece, cache).value()));
    }
    return out;
  }
};

TEST_P(EveryModel, OneForwardHoweverTheTextIsCut) {
  const auto tokens = random_tokens(150, 1);
  const Tensor expected = whole(tokens);
  for (const bool pack : {false, true}) {
    if (pack) model->pack(compute);
    for (const std::size_t size : {1u, 7u, 64u, 100u, 150u}) {
      const Tensor got = in_pieces(tokens, size);
      EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.bytes()), 0)
          << "pieces of " << size << (pack ? ", packed" : "");
    }
  }
}

TEST_P(EveryModel, GeneratesWhatTheWholeForwardSays) {
  const auto prompt = random_tokens(20, 2);
  Generator generator(*model, tiny_tokenizer(), compute);
  const Generation made = generator.generate(greedy(prompt, 30));
  ASSERT_EQ(made.tokens.size(), 30u);
  auto text = prompt;
  for (const std::int32_t token : made.tokens) {
    const Tensor logits = whole(text);
    const auto row = logits.slice(logits.dim(0) - 1, logits.dim(0)).span<float>();
    const auto known = row.first(static_cast<std::size_t>(tiny_tokenizer().vocab_size()));
    ASSERT_EQ(token, std::ranges::max_element(known) - known.begin());
    text.push_back(token);
  }
}

TEST_P(EveryModel, TheCacheOfTheLastTextChangesNothing) {
  const auto first = random_tokens(30, 3);
  auto second = first;
  second.resize(12);
  second.push_back(7);
  Generator reused(*model, tiny_tokenizer(), compute);
  reused.generate(drawn(first, 20));
  const Generation warm = reused.generate(drawn(second, 20));
  Generator fresh(*model, tiny_tokenizer(), compute);
  EXPECT_EQ(warm.tokens, fresh.generate(drawn(second, 20)).tokens);
  EXPECT_EQ(warm.usage.cached_tokens, 12);
  // The prompt whose every token is known is still answered.
  EXPECT_EQ(reused.generate(drawn(second, 20)).tokens, warm.tokens);
}

TEST_P(EveryModel, FollowsAGrammar) {
  Generator generator(*model, tiny_tokenizer(), compute);
  EngineRequest request = drawn({}, 60);
  request.sampling.temperature = 1.5;
  request.grammar = std::make_shared<const Grammar>(Grammar::from_json_schema(
      R"({"type": "array", "items": {"enum": ["a", "bc"]}, "maxItems": 3})"));
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    request.sampling.seed = seed;
    request.prompt = random_tokens(5, seed);
    const Generation made = generator.generate(request);
    EXPECT_EQ(made.reason, FinishReason::grammar);
    EXPECT_TRUE(nlohmann::json::parse(made.text).is_array()) << made.text;
  }
  request.stop_tokens = end_tokens(generator.tokenizer(), {});
  EXPECT_EQ(generator.generate(request).reason, FinishReason::stop_token);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryModel,
                         ::testing::Combine(::testing::Values("gpt2", "qwen3", "stepstone"),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" +
                                  std::string(name_of(std::get<1>(info.param)));
                         });

class GeneratorTest : public ::testing::Test {
 protected:
  std::unique_ptr<Transformer> model = tiny_model("qwen3", 64);
  Tokenizer tokenizer = tiny_tokenizer();
  Generator generator{*model, tokenizer, DType::f32};
  std::vector<std::int32_t> prompt = random_tokens(10, 4);
};

TEST_F(GeneratorTest, SameSeedSameText) {
  EngineRequest request = drawn(prompt, 30);
  request.sampling.temperature = 2;
  request.sampling.top_p = 1;
  const auto a = generator.generate(request);
  EXPECT_EQ(a.tokens, generator.generate(request).tokens);
  request.sampling.seed = 1;
  EXPECT_NE(a.tokens, generator.generate(request).tokens);
}

TEST_F(GeneratorTest, StreamsExactlyTheText) {
  EngineRequest request = drawn(prompt, 50);
  request.sampling.temperature = 3;
  std::string streamed;
  GenerateHooks hooks;
  hooks.on_text = [&](std::string_view piece) {
    EXPECT_TRUE(is_utf8(piece));
    streamed += piece;
  };
  const Generation made = generator.generate(request, hooks);
  EXPECT_EQ(streamed, made.text);
  EXPECT_FALSE(made.text.empty());
  EXPECT_EQ(made.usage.completion_tokens, std::ssize(made.tokens));
}

TEST_F(GeneratorTest, EndsAtAStopTokenWithoutShowingIt) {
  const Generation all = generator.generate(greedy(prompt, 20));
  EngineRequest request = greedy(prompt, 20);
  request.stop_tokens = {all.tokens[5]};
  const Generation made = generator.generate(request);
  EXPECT_EQ(made.reason, FinishReason::stop_token);
  EXPECT_LE(made.tokens.size(), 5u);
  EXPECT_EQ(made.usage.completion_tokens, std::ssize(made.tokens) + 1);
  EXPECT_EQ(made.text, to_utf8_lossy(tokenizer.decode(made.tokens, true)));
}

TEST_F(GeneratorTest, EndsBeforeAStopString) {
  const Generation all = generator.generate(greedy(prompt, 40));
  ASSERT_TRUE(is_utf8(all.text));
  // Two characters in the middle of the text.
  const std::size_t from = utf8_whole_prefix(all.text.substr(0, all.text.size() / 2));
  const std::string rest = all.text.substr(from);
  const std::size_t first = utf8_length(rest);
  const std::string stop = rest.substr(0, first + utf8_length(rest.substr(first)));
  EngineRequest request = greedy(prompt, 40);
  request.stop_strings = {stop};
  const Generation made = generator.generate(request);
  EXPECT_EQ(made.reason, FinishReason::stop_string);
  EXPECT_EQ(made.text, all.text.substr(0, all.text.find(stop)));
}

TEST_F(GeneratorTest, AFullContextEndsTheTextOrForgetsItsBeginning) {
  const Generation stopped = generator.generate(greedy(prompt, 200));
  EXPECT_EQ(stopped.reason, FinishReason::context_full);
  EXPECT_EQ(stopped.tokens.size(), 64u - 10 + 1);

  EngineRequest request = greedy(prompt, 200);
  request.when_full = WhenFull::forget;
  const Generation whole = generator.generate(request);
  EXPECT_EQ(whole.reason, FinishReason::max_tokens);
  EXPECT_EQ(whole.tokens.size(), 200u);
  EXPECT_GT(whole.usage.forgotten_tokens, 0);
  // What follows the forgetting is what the newer half alone gives.
  auto text = prompt;
  text.insert(text.end(), whole.tokens.begin(), whole.tokens.begin() + 55);
  const std::vector<std::int32_t> half(text.end() - 32, text.end());
  Generator fresh(*model, tokenizer, DType::f32);
  const auto next = fresh.generate(greedy(half, 10)).tokens;
  EXPECT_TRUE(std::equal(next.begin(), next.end(), whole.tokens.begin() + 55));
}

TEST_F(GeneratorTest, APromptBeyondTheContext) {
  const auto longer = random_tokens(100, 5);
  EXPECT_THROW(generator.generate(greedy(longer, 5)), UsageError);
  EngineRequest request = greedy(longer, 5);
  request.when_full = WhenFull::forget;
  const Generation made = generator.generate(request);
  EXPECT_EQ(made.tokens.size(), 5u);
  EXPECT_EQ(made.usage.forgotten_tokens, 100 - 32);
  Generator small(*model, tokenizer, DType::f32, {.context = 16});
  EXPECT_EQ(small.context(), 16);
  EXPECT_THROW(small.generate(greedy(random_tokens(17, 6), 5)), UsageError);
}

TEST_F(GeneratorTest, StopsWhenInterrupted) {
  EngineRequest request = greedy(prompt, 50);
  int polls = 0;
  const Generation made = generator.generate(request, {.interrupted = [&] { return ++polls > 5; }});
  EXPECT_EQ(made.reason, FinishReason::cancelled);
  EXPECT_EQ(made.tokens.size(), 5u);
}

TEST_F(GeneratorTest, RefusesWhatCannotBeMeant) {
  EXPECT_THROW(generator.generate(greedy({}, 5)), UsageError);
  EXPECT_THROW(generator.generate(greedy(prompt, -1)), UsageError);
  EXPECT_EQ(generator.generate(greedy(prompt, 0)).text, "");
  const std::vector<std::int32_t> absurd = {1, 100000};
  EXPECT_THROW(generator.generate(greedy(absurd, 5)), Error);
  // It is as good as before afterwards.
  EXPECT_EQ(generator.generate(greedy(prompt, 5)).tokens.size(), 5u);
}

TEST(GenerateAll, IsTheSameAsOneByOne) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto model = tiny_model("qwen3", 64);
    model->pack(compute);
    std::vector<std::vector<std::int32_t>> prompts;
    for (int i = 0; i < 17; ++i) prompts.push_back(random_tokens(1 + 11 * i % 62, 100 + i));
    // A stop token and a stop string that do come.
    Generator generator(*model, tiny_tokenizer(), compute);
    EngineRequest request = greedy(prompts[0], 20);
    const auto sample = generator.generate(request);
    request.stop_tokens = {sample.tokens.back()};
    const auto letter = std::ranges::find_if(sample.text, [](char c) { return c > ' '; });
    ASSERT_NE(letter, sample.text.end());
    request.stop_strings = {std::string(1, *letter)};
    for (const std::size_t width : {1u, 4u, 32u}) {
      Generator wide(*model, tiny_tokenizer(), compute, {.width = width});
      const auto texts = wide.generate_all(prompts, request);
      ASSERT_EQ(texts.size(), prompts.size());
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        request.prompt = prompts[i];
        EXPECT_EQ(texts[i].text, generator.generate(request).text) << i << " of " << width;
      }
    }
  }
}

TEST(GenerateAll, WhatDoesNotFitGivesNothing) {
  const auto model = tiny_model("gpt2", 16);
  const std::vector<std::vector<std::int32_t>> prompts = {
      std::vector<std::int32_t>(17, 65), {}, {65, 66}};
  std::size_t done = 0;
  Generator generator(*model, tiny_tokenizer(), DType::f32, {.width = 4});
  const auto texts = generator.generate_all(prompts, greedy({}, 5),
                                            {.progress = [&](std::size_t n) { done = n; }});
  EXPECT_EQ(texts[0].text, "");
  EXPECT_EQ(texts[1].text, "");
  EXPECT_NE(texts[2].text, "");
  EXPECT_EQ(done, 1u);
}

TEST(PromptTokens, BeginWithBosWhereThereIsOne) {
  Tokenizer t = tiny_tokenizer();
  EXPECT_EQ(prompt_tokens(t, "ab"), (std::vector<std::int32_t>{'a', 'b'}));
  EXPECT_EQ(prompt_tokens(t, ""), std::vector<std::int32_t>{*t.eos()});
  t.set_bos("<s>");
  EXPECT_EQ(prompt_tokens(t, "a"), (std::vector<std::int32_t>{*t.bos(), 'a'}));
  EXPECT_EQ(prompt_tokens(Tokenizer::bytes(), ""), std::vector<std::int32_t>{'\n'});
  EXPECT_EQ(prompt_tokens(Tokenizer::characters("ab"), ""), std::vector<std::int32_t>{0});
}

}  // namespace
}  // namespace stepstone
