#include "infer/batch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/random.h"
#include "infer/generator.h"
#include "infer/test_support.h"

namespace stepstone {
namespace {

TEST(GreedyTexts, AreThoseOfTheGeneratorOneByOne) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto model = testing::tiny_model("qwen3", 64);
    model->pack(compute);
    const Tokenizer tokenizer = testing::tiny_tokenizer();
    Random random(1);
    std::vector<std::vector<std::int32_t>> prompts;
    for (int i = 0; i < 17; ++i) {
      auto& prompt = prompts.emplace_back(1 + random.below(62));
      for (auto& id : prompt) id = static_cast<std::int32_t>(random.below(256));
    }
    // A stop token and a stop string that do come.
    Generator generator(*model, tokenizer, compute);
    GenerateOptions one;
    one.max_tokens = 20;
    one.sampling.temperature = 0;
    const auto sample = generator.generate(prompts[0], one);
    one.stop_tokens = {sample.tokens.back()};
    const auto letter = std::ranges::find_if(sample.text, [](char c) { return c > ' '; });
    ASSERT_NE(letter, sample.text.end());
    one.stop_strings = {std::string(1, *letter)};

    BatchOptions many;
    many.max_tokens = one.max_tokens;
    many.stop_tokens = one.stop_tokens;
    many.stop_strings = one.stop_strings;
    for (const std::size_t width : {1u, 4u, 32u}) {
      many.width = width;
      const auto texts = greedy_texts(*model, tokenizer, compute, prompts, many);
      ASSERT_EQ(texts.size(), prompts.size());
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(texts[i], generator.generate(prompts[i], one).text) << i << " of " << width;
      }
    }
  }
}

TEST(GreedyTexts, WhatDoesNotFitGivesNothing) {
  const auto model = testing::tiny_model("gpt2", 16);
  const std::vector<std::vector<std::int32_t>> prompts = {
      std::vector<std::int32_t>(17, 65), {}, {65, 66}};
  BatchOptions options;
  options.max_tokens = 5;
  std::size_t done = 0;
  options.progress = [&](std::size_t n) { done = n; };
  const auto texts = greedy_texts(*model, testing::tiny_tokenizer(), DType::f32, prompts, options);
  EXPECT_EQ(texts[0], "");
  EXPECT_EQ(texts[1], "");
  EXPECT_NE(texts[2], "");
  EXPECT_EQ(done, 3u);
}

}  // namespace
}  // namespace stepstone
