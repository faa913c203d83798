#include "infer/generator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "core/random.h"
#include "infer/test_support.h"
#include "io/utf8.h"

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

GenerateOptions greedy(std::int64_t n) {
  GenerateOptions options;
  options.max_tokens = n;
  options.sampling.temperature = 0;
  return options;
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
  const Generation made = generator.generate(prompt, greedy(30));
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
  GenerateOptions options;
  options.max_tokens = 20;
  Generator reused(*model, tiny_tokenizer(), compute);
  reused.generate(first, options);
  const Generation warm = reused.generate(second, options);
  Generator fresh(*model, tiny_tokenizer(), compute);
  EXPECT_EQ(warm.tokens, fresh.generate(second, options).tokens);
  EXPECT_EQ(warm.stats.cached_tokens, 12);
  // The prompt whose every token is known is still answered.
  EXPECT_EQ(reused.generate(second, options).tokens, warm.tokens);
}

TEST_P(EveryModel, FollowsAGrammar) {
  Generator generator(*model, tiny_tokenizer(), compute);
  GenerateOptions options;
  options.max_tokens = 60;
  options.sampling.temperature = 1.5;
  options.grammar = std::make_shared<const Grammar>(Grammar::from_json_schema(
      R"({"type": "array", "items": {"enum": ["a", "bc"]}, "maxItems": 3})"));
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    options.sampling.seed = seed;
    const Generation made = generator.generate(random_tokens(5, seed), options);
    EXPECT_EQ(made.reason, StopReason::grammar);
    EXPECT_TRUE(nlohmann::json::parse(made.text).is_array()) << made.text;
  }
  options.stop_tokens = stop_tokens(generator.tokenizer());
  EXPECT_EQ(generator.generate(random_tokens(5, 1), options).reason, StopReason::stop_token);
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
  GenerateOptions options;
  options.max_tokens = 30;
  options.sampling.temperature = 2;
  options.sampling.top_p = 1;
  const auto a = generator.generate(prompt, options);
  EXPECT_EQ(a.tokens, generator.generate(prompt, options).tokens);
  options.sampling.seed = 1;
  EXPECT_NE(a.tokens, generator.generate(prompt, options).tokens);
}

TEST_F(GeneratorTest, StreamsExactlyTheText) {
  GenerateOptions options;
  options.max_tokens = 50;
  options.sampling.temperature = 3;
  std::string streamed;
  options.on_text = [&](std::string_view piece) {
    EXPECT_TRUE(is_utf8(piece));
    streamed += piece;
  };
  const Generation made = generator.generate(prompt, options);
  EXPECT_EQ(streamed, made.text);
  EXPECT_FALSE(made.text.empty());
  EXPECT_EQ(made.stats.new_tokens, static_cast<std::int64_t>(made.tokens.size()));
}

TEST_F(GeneratorTest, EndsAtAStopTokenWithoutShowingIt) {
  const Generation all = generator.generate(prompt, greedy(20));
  GenerateOptions options = greedy(20);
  options.stop_tokens = {all.tokens[5]};
  const Generation made = generator.generate(prompt, options);
  EXPECT_EQ(made.reason, StopReason::stop_token);
  EXPECT_EQ(made.tokens.back(), all.tokens[5]);
  EXPECT_LE(made.tokens.size(), 6u);
  auto shown = made.tokens;
  shown.pop_back();
  EXPECT_EQ(made.text, to_utf8_lossy(tokenizer.decode(shown, true)));
}

TEST_F(GeneratorTest, EndsBeforeAStopString) {
  const Generation all = generator.generate(prompt, greedy(40));
  ASSERT_TRUE(is_utf8(all.text));
  // Two characters in the middle of the text.
  const std::size_t from = utf8_whole_prefix(all.text.substr(0, all.text.size() / 2));
  const std::string rest = all.text.substr(from);
  const std::size_t first = utf8_length(rest);
  const std::string stop = rest.substr(0, first + utf8_length(rest.substr(first)));
  GenerateOptions options = greedy(40);
  options.stop_strings = {stop};
  const Generation made = generator.generate(prompt, options);
  EXPECT_EQ(made.reason, StopReason::stop_string);
  EXPECT_EQ(made.text, all.text.substr(0, all.text.find(stop)));
}

TEST_F(GeneratorTest, AFullContextEndsTheTextOrForgetsItsBeginning) {
  const Generation stopped = generator.generate(prompt, greedy(200));
  EXPECT_EQ(stopped.reason, StopReason::context_full);
  EXPECT_EQ(stopped.tokens.size(), 64u - 10 + 1);

  GenerateOptions options = greedy(200);
  options.when_full = WhenFull::forget;
  const Generation whole = generator.generate(prompt, options);
  EXPECT_EQ(whole.reason, StopReason::max_tokens);
  EXPECT_EQ(whole.tokens.size(), 200u);
  EXPECT_GT(whole.stats.forgotten_tokens, 0);
  // What follows the forgetting is what the newer half alone gives.
  auto text = prompt;
  text.insert(text.end(), whole.tokens.begin(), whole.tokens.begin() + 55);
  const std::vector<std::int32_t> half(text.end() - 32, text.end());
  Generator fresh(*model, tokenizer, DType::f32);
  const auto next = fresh.generate(half, greedy(10)).tokens;
  EXPECT_TRUE(std::equal(next.begin(), next.end(), whole.tokens.begin() + 55));
}

TEST_F(GeneratorTest, APromptBeyondTheContext) {
  const auto longer = random_tokens(100, 5);
  EXPECT_THROW(generator.generate(longer, greedy(5)), UsageError);
  GenerateOptions options = greedy(5);
  options.when_full = WhenFull::forget;
  const Generation made = generator.generate(longer, options);
  EXPECT_EQ(made.tokens.size(), 5u);
  EXPECT_EQ(made.stats.forgotten_tokens, 100 - 32);
  Generator small(*model, tokenizer, DType::f32, 16);
  EXPECT_EQ(small.context(), 16);
  EXPECT_THROW(small.generate(random_tokens(17, 6), greedy(5)), UsageError);
}

TEST_F(GeneratorTest, StopsWhenInterrupted) {
  GenerateOptions options = greedy(50);
  int polls = 0;
  options.interrupted = [&] { return ++polls > 5; };
  const Generation made = generator.generate(prompt, options);
  EXPECT_EQ(made.reason, StopReason::interrupted);
  EXPECT_EQ(made.tokens.size(), 5u);
}

TEST_F(GeneratorTest, RefusesWhatCannotBeMeant) {
  EXPECT_THROW(generator.generate({}, greedy(5)), UsageError);
  EXPECT_THROW(generator.generate(prompt, greedy(-1)), UsageError);
  EXPECT_EQ(generator.generate(prompt, greedy(0)).text, "");
  const std::vector<std::int32_t> absurd = {1, 100000};
  EXPECT_THROW(generator.generate(absurd, greedy(5)), Error);
  // It is as good as before afterwards.
  EXPECT_EQ(generator.generate(prompt, greedy(5)).tokens.size(), 5u);
}

TEST(PromptTokens, BeginWithBosWhereThereIsOne) {
  Tokenizer t = tiny_tokenizer();
  EXPECT_EQ(prompt_tokens(t, "ab"), (std::vector<std::int32_t>{'a', 'b'}));
  EXPECT_EQ(prompt_tokens(t, ""), std::vector<std::int32_t>{*t.eos()});
  t.set_bos("<s>");
  EXPECT_EQ(prompt_tokens(t, "a"), (std::vector<std::int32_t>{*t.bos(), 'a'}));
  EXPECT_EQ(prompt_tokens(Tokenizer::bytes(), ""), std::vector<std::int32_t>{'\n'});
  EXPECT_EQ(prompt_tokens(Tokenizer::characters("ab"), ""), std::vector<std::int32_t>{0});
  EXPECT_EQ(stop_tokens(tiny_tokenizer()).size(), 2u);
}

}  // namespace
}  // namespace stepstone
