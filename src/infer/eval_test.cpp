#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "infer/eval_tasks.h"
#include "infer/eval_text.h"
#include "infer/perplexity.h"
#include "infer/scheduler.h"
#include "infer/test_support.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::put;

Stone tiny_stone(bool chat) {
  return {.folder = "tiny",
          .model = testing::tiny_model("qwen3", 128),
          .tokenizer = testing::tiny_tokenizer(),
          .chat_template = chat ? std::string(ChatTemplate::jinja()) : "",
          .about = {}};
}

// Sum of the negative log-likelihoods of all tokens but the first, in nats.
double surprise(const Transformer& model, std::span<const std::int32_t> tokens) {
  std::vector<std::int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<std::int32_t> segments = {0, static_cast<std::int32_t>(tokens.size())};
  Graph graph;
  const Tensor logits =
      model.logits(graph, model.hidden(graph, {tokens, positions, segments}).value());
  double sum = 0;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    double total = 0;
    const auto z = logits.slice(row, row + 1).span<float>();
    for (const float x : z) total += std::exp(static_cast<double>(x));
    sum += std::log(total) - z[static_cast<std::size_t>(tokens[i + 1])];
  }
  return sum;
}

TEST(Wilson, KnownIntervals) {
  const auto expect = [](std::int64_t right, std::int64_t total, double low, double high) {
    const Interval i = wilson_interval(right, total);
    EXPECT_NEAR(i.low, low, 5e-5) << right << "/" << total;
    EXPECT_NEAR(i.high, high, 5e-5) << right << "/" << total;
  };
  // R: prop.test(x, n, correct = FALSE)$conf.int
  expect(0, 10, 0, 0.27753);
  expect(5, 10, 0.23659, 0.76341);
  expect(10, 10, 0.72247, 1);
  expect(90, 100, 0.82563, 0.94477);
  expect(0, 0, 0, 1);
}

TEST(EvalTasks, CountsEveryQuestionOnce) {
  for (const bool chat : {false, true}) {
    const Stone stone = tiny_stone(chat);
    TaskEvalOptions options;
    options.tasks = {"arithmetic", "sort"};
    options.questions = 4;
    options.max_tokens = 8;
    const TaskReport report = evaluate_tasks(stone, options);
    ASSERT_EQ(report.scores.size(), 4u);
    EXPECT_EQ(report.scores[0].task, "arithmetic");
    EXPECT_EQ(report.scores[0].language, "en");
    EXPECT_EQ(report.scores[3].task, "sort");
    EXPECT_EQ(report.scores[3].language, "zh");
    ASSERT_EQ(report.sums.size(), 3u);
    EXPECT_EQ(report.sums.back().total, 16);
    std::int64_t right = 0;
    for (const TaskAnswer& a : report.answers) {
      EXPECT_EQ(a.right, is_correct(a.item, a.reply));
      right += a.right;
    }
    EXPECT_EQ(report.sums.back().right, right);
    EXPECT_EQ(to_json(report)["sums"].size(), 3u);
    EXPECT_NE(to_table(report).find("sort"), std::string::npos);
    // Nothing in it is random.
    const TaskReport again = evaluate_tasks(stone, options);
    for (std::size_t i = 0; i < again.answers.size(); ++i) {
      EXPECT_EQ(again.answers[i].reply, report.answers[i].reply);
    }
  }
}

TEST(EvalTasks, RefusesUnknownTasks) {
  TaskEvalOptions options;
  options.tasks = {"aritmetic"};
  EXPECT_THROW(evaluate_tasks(tiny_stone(true), options), UsageError);
  options.tasks = {};
  options.questions = 0;
  EXPECT_THROW(evaluate_tasks(tiny_stone(true), options), UsageError);
}

TEST(EvalText, DocumentsAreMeasuredAlone) {
  const testing::ScratchFolder folder;
  put(folder / "a.jsonl", R"({"text": "First one."})"
                          "\n"
                          R"({"text": "第二个。"})"
                          "\n");
  const Stone stone = tiny_stone(false);
  const auto scores = evaluate_text(stone, {.paths = {folder / "a.jsonl"}, .mode = ""});
  ASSERT_EQ(scores.size(), 1u);
  double nats = 0;
  std::int64_t targets = 0, bytes = 0;
  for (const std::string text : {"First one.", "第二个。"}) {
    auto tokens = stone.tokenizer.encode(text);
    tokens.push_back(*stone.tokenizer.eos());
    nats += surprise(*stone.model, tokens);
    targets += static_cast<std::int64_t>(tokens.size()) - 1;
    bytes += static_cast<std::int64_t>(text.size()) - 1;  // the first byte is not predicted
  }
  EXPECT_EQ(scores[0].evaluation.tokens, targets);
  EXPECT_NEAR(scores[0].evaluation.loss, nats / static_cast<double>(targets), 1e-4);
  EXPECT_NEAR(scores[0].evaluation.bits_per_byte.value(),
              nats / std::numbers::ln2 / static_cast<double>(bytes), 1e-4);
}

TEST(EvalText, WindowsAreOneStream) {
  const testing::ScratchFolder folder;
  const std::string text(100, 'a');
  put(folder / "a.txt", text);
  Stone stone = tiny_stone(false);
  stone.about = {{"recipe", {{"data", {{"mode", "windows"}}}}}};
  const TextEvalOptions options{.paths = {folder / "a.txt"}, .mode = ""};
  const auto scores = evaluate_text(stone, options);
  EXPECT_EQ(scores[0].evaluation.tokens, 99);
  EXPECT_NEAR(scores[0].evaluation.loss, surprise(*stone.model, stone.tokenizer.encode(text)) / 99,
              1e-4);
}

// Of all tokens but the first, as an engine reports them.
double engine_surprise(const Stone& stone, const std::vector<std::int32_t>& tokens,
                       const CacheTypes& cache) {
  Scheduler scheduler(*stone.model, stone.tokenizer, stone.compute,
                      {.step_tokens = 7, .cache = cache});
  double sum = 0;
  const auto job = std::make_shared<EngineJob>();
  job->request.prompt = tokens;
  job->request.prompt_logprobs = true;
  job->request.on_event = [&](const EngineEvent& event) {
    for (const ScoredToken& s : event.prompt_logprobs) sum -= static_cast<double>(s.token.logprob);
  };
  scheduler.add(job);
  while (!scheduler.idle()) scheduler.step();
  return sum;
}

TEST(EvalText, ACacheOfLessPrecisionIsMeasuredAsItIsServed) {
  const testing::ScratchFolder folder;
  put(folder / "a.jsonl", R"({"text": "Some text, long enough for a few pieces of it."})");
  const Stone stone = tiny_stone(false);
  auto tokens = stone.tokenizer.encode("Some text, long enough for a few pieces of it.");
  tokens.push_back(*stone.tokenizer.eos());
  stone.model->pack(stone.compute);
  const auto loss = [&](const CacheTypes& cache) {
    TextEvalOptions options{.paths = {folder / "a.jsonl"}, .mode = "", .cache = cache};
    return evaluate_text(stone, options)[0].evaluation.loss;
  };
  const double exact = loss({});
  EXPECT_EQ(loss({BlockType::f32, BlockType::f32}), exact);
  for (const CacheTypes& cache :
       {CacheTypes{BlockType::bf16, BlockType::bf16}, CacheTypes{BlockType::f16, BlockType::f16},
        CacheTypes{BlockType::q8_0, BlockType::q8_0}, CacheTypes{{}, BlockType::q8_0}}) {
    SCOPED_TRACE(name_of(*cache.v));
    const double rounded = loss(cache);
    EXPECT_EQ(rounded,
              engine_surprise(stone, tokens, cache) / static_cast<double>(tokens.size() - 1));
    EXPECT_NE(rounded, exact);
    EXPECT_NEAR(rounded, exact, 0.05);
    const Perplexity windows = measure_perplexity(stone, tokens, {.context = 20, .cache = cache});
    EXPECT_NE(windows.loss, measure_perplexity(stone, tokens, {.context = 20}).loss);
  }
}

TEST(Perplexity, IsThatOfTheWindows) {
  Stone stone = tiny_stone(false);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 100; ++i) tokens.push_back('a' + i * i % 23);
  // Of each window of 24, begun with bos, the predictions of tokens 13 to 23.
  stone.tokenizer.set_bos("<s>");
  const std::int32_t bos = *stone.tokenizer.bos();
  const auto one = [&](std::int64_t begin, bool with_bos, std::size_t from) {
    std::vector<std::int32_t> window(tokens.begin() + begin, tokens.begin() + begin + 24);
    if (with_bos) window[0] = bos;
    const std::span<const std::int32_t> all = window;
    return surprise(*stone.model, all) - surprise(*stone.model, all.first(from));
  };
  Perplexity p = measure_perplexity(stone, tokens, {.context = 24});
  EXPECT_EQ(p.chunks, 4);
  EXPECT_EQ(p.tokens, 4 * 11);
  double nats = 0;
  for (int i = 0; i < 4; ++i) nats += one(24 * i, true, 13);
  EXPECT_NEAR(p.loss, nats / 44, 1e-4);
  EXPECT_DOUBLE_EQ(p.perplexity, std::exp(p.loss));
  // Windows at every fifth token, of which the last five count.
  p = measure_perplexity(stone, tokens, {.context = 24, .stride = 5, .chunks = 3});
  EXPECT_EQ(p.tokens, 15);
  nats = one(0, false, 19) + one(5, false, 19) + one(10, false, 19);
  EXPECT_NEAR(p.loss, nats / 15, 1e-4);
  EXPECT_GT(p.error, 0);

  EXPECT_THROW(measure_perplexity(stone, tokens, {.context = 51}), UsageError);
  EXPECT_THROW(measure_perplexity(stone, tokens, {.context = 1000}), UsageError);
  EXPECT_THROW(measure_perplexity(stone, tokens, {.context = 24, .stride = 24}), UsageError);
}

TEST(EvalText, RefusesWhatCannotBeMeasured) {
  const testing::ScratchFolder folder;
  put(folder / "empty.txt", "");
  const Stone stone = tiny_stone(false);
  EXPECT_THROW(evaluate_text(stone, {.paths = {folder / "empty.txt"}, .mode = ""}), Error);
  EXPECT_THROW(evaluate_text(stone, {.paths = {folder / "no.txt"}, .mode = ""}), Error);
  put(folder / "a.txt", "some text");
  EXPECT_THROW(evaluate_text(stone, {.paths = {folder / "a.txt"}, .mode = "lines"}), UsageError);
  EXPECT_THROW(evaluate_text(stone, {.paths = {folder / "a.txt"}, .mode = "", .context = 1000}),
               UsageError);
}

}  // namespace
}  // namespace stepstone
