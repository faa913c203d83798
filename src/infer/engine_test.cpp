#include "infer/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <map>
#include <numeric>

#include "core/random.h"
#include "infer/generator.h"
#include "infer/test_support.h"

namespace stepstone {
namespace {

using testing::tiny_model;
using testing::tiny_tokenizer;

// All events of one request, put together.
struct Answer {
  struct Choice {
    std::string text;
    std::vector<std::int32_t> tokens;
    std::vector<float> logprobs;  // of tokens and of their alternatives
    std::vector<float> prompt_logprobs;
    std::vector<float> embedding;
    FinishReason finish = FinishReason::none;
    EngineUsage usage;
    std::string error;
    bool operator==(const Choice& o) const {
      return text == o.text && tokens == o.tokens && logprobs == o.logprobs &&
             prompt_logprobs == o.prompt_logprobs && embedding == o.embedding && finish == o.finish;
    }
  };
  std::map<std::size_t, Choice> choices;
};

// Collects what an engine says; one per request.
class Listener {
 public:
  std::function<void(EngineEvent)> listen(std::size_t choices) {
    left_ = choices;
    return [this](EngineEvent event) {
      const auto add = [](std::vector<float>& to, const std::vector<ScoredToken>& scored) {
        for (const ScoredToken& s : scored) {
          to.push_back(s.token.logprob);
          for (const auto& t : s.top) to.push_back(t.logprob);
        }
      };
      auto& c = answer_.choices[event.choice];
      EXPECT_EQ(c.finish, FinishReason::none) << "something after the last event";
      c.text += event.text;
      c.tokens.insert(c.tokens.end(), event.tokens.begin(), event.tokens.end());
      add(c.logprobs, event.logprobs);
      add(c.prompt_logprobs, event.prompt_logprobs);
      if (!event.embedding.empty()) c.embedding = event.embedding;
      c.finish = event.finish;
      if (event.finish == FinishReason::none) return;
      c.usage = event.usage;
      c.error = event.error;
      if (--left_ == 0) done_.set_value();
    };
  }
  const Answer& wait() {
    EXPECT_EQ(future_.wait_for(std::chrono::seconds(60)), std::future_status::ready);
    return answer_;
  }
  const Answer::Choice& only() { return wait().choices.at(0); }

 private:
  std::size_t left_ = 0;
  Answer answer_;
  std::promise<void> done_;
  std::future<void> future_ = done_.get_future();
};

std::vector<std::int32_t> random_tokens(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::int32_t> tokens(n);
  for (auto& id : tokens) id = static_cast<std::int32_t>(random.below(256));
  return tokens;
}

// Requests of all kinds: greedy and drawn, with penalties and bias, scored, embeddings, choices.
std::vector<EngineRequest> mixed_requests(std::size_t count) {
  std::vector<EngineRequest> requests;
  const auto common = random_tokens(70, 99);
  const auto grammar = std::make_shared<const Grammar>(Grammar::from_json_schema(
      R"({"type": "array", "items": {"enum": ["a", "bc", 1]}, "maxItems": 4})"));
  for (std::size_t i = 0; i < count; ++i) {
    EngineRequest r;
    r.prompt = i % 3 == 0 ? common : std::vector<std::int32_t>();
    const auto own = random_tokens(1 + (i * 37) % 110, i);
    r.prompt.insert(r.prompt.end(), own.begin(), own.end());
    r.max_tokens = static_cast<std::int64_t>(i % 5 == 4 ? 0 : 5 + i * 3 % 40);
    r.sampling.temperature = i % 2 == 0 ? 0 : 1.2;
    r.sampling.seed = i;
    r.sampling.repeat_penalty = i % 4 == 1 ? 1.3 : 1;
    if (i % 6 == 5) r.logit_bias = {{65, 3.5f}, {66, -100.0f}};
    r.top_logprobs = i % 3 == 2 ? -1 : static_cast<int>(i % 4);
    r.prompt_logprobs = i % 5 >= 3;
    r.embed = i % 7 == 6;
    if (r.embed) r.max_tokens = 0;
    r.choices = i % 4 == 3 ? 3 : 1;
    if (i % 8 == 2 || i % 8 == 3) r.grammar = grammar;
    r.key = i % 2 == 0 ? "a" : "b";
    requests.push_back(r);
  }
  return requests;
}

std::vector<Answer> answers(Engine& engine, std::vector<EngineRequest> requests, bool one_by_one) {
  std::vector<Listener> listeners(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].on_event = listeners[i].listen(requests[i].choices);
    engine.submit(requests[i]);
    if (one_by_one) listeners[i].wait();
  }
  std::vector<Answer> result;
  for (Listener& l : listeners) result.push_back(l.wait());
  return result;
}

using ModelAndTypes = std::tuple<std::string, DType, CacheTypes>;
class EngineOf : public ::testing::TestWithParam<ModelAndTypes> {
 protected:
  void SetUp() override { model->pack(compute); }
  DType compute = std::get<1>(GetParam());
  CacheTypes cache = std::get<2>(GetParam());
  std::unique_ptr<Transformer> model = tiny_model(std::get<0>(GetParam()), 256);
};

TEST_P(EngineOf, AnswersAreTheSameBitsAloneAndTogetherWholeAndInPieces) {
  const auto requests = mixed_requests(17);
  Engine alone(*model, tiny_tokenizer(), compute,
               {.max_sequences = 1, .step_tokens = 1000, .cache = cache, .reuse = false});
  const auto expected = answers(alone, requests, true);
  // Small pools make sequences lose their pages and start again.
  const std::int64_t page = KvPool::page_bytes(model->config(), cache.with(compute));
  const EngineOptions ways[] = {{.max_sequences = 16, .step_tokens = 1000, .reuse = false},
                                {.max_sequences = 16, .step_tokens = 7, .reuse = false},
                                {.max_sequences = 16, .step_tokens = 40, .reuse = true},
                                {.max_sequences = 16, .kv_bytes = 4 * page, .reuse = true},
                                {.max_sequences = 5, .kv_bytes = 6 * page, .reuse = false}};
  bool preempted = false;
  for (EngineOptions options : ways) {
    options.cache = cache;
    Engine engine(*model, tiny_tokenizer(), compute, options);
    for (int round = 0; round < 2; ++round) {
      const auto got = answers(engine, requests, false);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        for (std::size_t c = 0; c < requests[i].choices; ++c) {
          EXPECT_EQ(got[i].choices.at(c), expected[i].choices.at(c))
              << "request " << i << " choice " << c << " budget " << options.step_tokens << " pool "
              << options.kv_bytes / page << " round " << round;
        }
      }
    }
    const EngineMetrics m = engine.metrics();
    EXPECT_EQ(m.reused_tokens > 0, options.reuse);
    preempted = preempted || m.preemptions > 0;
    EXPECT_EQ(m.finished[static_cast<std::size_t>(FinishReason::error)], 0);
  }
  EXPECT_TRUE(preempted);
}

INSTANTIATE_TEST_SUITE_P(
    Models, EngineOf,
    ::testing::Values(ModelAndTypes{"qwen3", DType::f32, {}},
                      ModelAndTypes{"qwen3", DType::f32, {BlockType::q8_0, BlockType::q8_0}},
                      ModelAndTypes{"qwen3", DType::bf16, {{}, BlockType::q8_0}},
                      ModelAndTypes{"gpt2", DType::f32, {BlockType::bf16, {}}},
                      ModelAndTypes{"gpt2", DType::bf16, {}},
                      ModelAndTypes{"stepstone", DType::f32, {BlockType::f16, BlockType::bf16}},
                      ModelAndTypes{"stepstone", DType::bf16, {}}));

class TinyEngine : public ::testing::Test {
 protected:
  std::unique_ptr<Transformer> model = tiny_model("qwen3", 512);
  EngineOptions options;
  std::unique_ptr<Engine> make() {
    return std::make_unique<Engine>(*model, tiny_tokenizer(), DType::f32, options);
  }
  static EngineRequest request(std::size_t prompt, std::int64_t max_tokens, Listener& listener) {
    EngineRequest r;
    r.prompt = random_tokens(prompt, 5);
    r.max_tokens = max_tokens;
    r.sampling.temperature = 0;
    r.on_event = listener.listen(1);
    return r;
  }
};

TEST_F(TinyEngine, WritesWhatTheGeneratorWrites) {
  const auto engine = make();
  Generator generator(*model, tiny_tokenizer(), DType::f32);
  for (const double temperature : {0.0, 1.0}) {
    Listener listener;
    EngineRequest r;
    r.prompt = random_tokens(30, 1);
    r.max_tokens = 60;
    r.sampling.temperature = temperature;
    r.sampling.seed = 11;
    const Generation expected = generator.generate(r);
    r.on_event = listener.listen(1);
    engine->submit(r);
    EXPECT_EQ(listener.only().text, expected.text);
    EXPECT_EQ(listener.only().tokens, expected.tokens);
    EXPECT_EQ(listener.only().usage.completion_tokens, 60);
  }
}

TEST_F(TinyEngine, FollowsAGrammarAsTheGeneratorDoes) {
  Listener listener;
  EngineRequest r = request(9, 80, listener);
  r.grammar = std::make_shared<const Grammar>(Grammar::from_regex("(yes|no), [0-9]{3}"));
  r.sampling.temperature = 1.5;
  r.top_logprobs = 0;
  r.choices = 6;
  r.on_event = listener.listen(r.choices);
  auto engine = make();
  engine->submit(r);
  Generator generator(*model, tiny_tokenizer(), DType::f32);
  for (std::size_t i = 0; i < r.choices; ++i) {
    EngineRequest same = r;
    same.choices = 1;
    same.sampling.seed += i;
    const Answer::Choice& got = listener.wait().choices.at(i);
    EXPECT_EQ(got.text, generator.generate(same).text);
    EXPECT_EQ(got.finish, FinishReason::grammar);
    EXPECT_EQ(got.logprobs.size(), got.tokens.size());
    EXPECT_THAT(got.text, ::testing::MatchesRegex("(yes|no), [0-9][0-9][0-9]"));
  }
}

TEST_F(TinyEngine, AGrammarThatTakesTooLongEndsItsOwnTextAlone) {
  const auto requests = mixed_requests(6);
  options.grammar.token = 200'000;
  const auto engine = make();
  const auto expected = answers(*engine, requests, true);
  Listener listener;
  EngineRequest r = request(9, 300, listener);
  r.grammar =
      std::make_shared<const Grammar>(Grammar::from_gbnf("root ::= (x{1,90}){1,90}\nx ::= [ -~]"));
  engine->submit(r);
  const auto got = answers(*engine, requests, false);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(got[i].choices, expected[i].choices) << i;
  }
  EXPECT_EQ(listener.only().finish, FinishReason::refused);
  EXPECT_THAT(listener.only().error, ::testing::HasSubstr("grammar: it takes too long"));
  EXPECT_FALSE(listener.only().text.empty());
}

TEST_F(TinyEngine, LogprobsAreThoseOfTheWholeText) {
  const auto engine = make();
  Listener listener;
  EngineRequest r = request(40, 0, listener);
  r.prompt_logprobs = true;
  r.top_logprobs = 2;
  engine->submit(r);
  const auto& scores = listener.only().prompt_logprobs;
  ASSERT_EQ(scores.size(), 39u * 3);

  // The forward pass of evaluation: the same bits.
  std::vector<std::int32_t> positions(r.prompt.size());
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<std::int32_t> segments = {0, 40};
  Graph graph({.compute = DType::f32});
  const Tensor logits =
      model->logits(graph, model->hidden(graph, {r.prompt, positions, segments}).value());
  const std::int32_t vocab = engine->tokenizer().vocab_size();
  for (std::int64_t i = 0; i < 39; ++i) {
    const auto next = r.prompt[static_cast<std::size_t>(i) + 1];
    const ScoredToken whole = score_token(logits.slice(i, i + 1).span<float>(), next, vocab, 2);
    const auto at = static_cast<std::size_t>(3 * i);
    EXPECT_EQ(scores[at], whole.token.logprob);
    EXPECT_EQ(scores[at + 1], whole.top[0].logprob);
    EXPECT_EQ(scores[at + 2], whole.top[1].logprob);
  }
}

TEST_F(TinyEngine, StopsWhereItShould) {
  const auto engine = make();
  Listener whole, stopped, token;
  engine->submit(request(9, 80, whole));
  const std::string text = whole.only().text;
  EngineRequest r = request(9, 80, stopped);
  const auto letter =
      std::find_if(text.begin() + std::ssize(text) / 2, text.end(), [](char c) { return c > ' '; });
  ASSERT_NE(letter, text.end());
  r.stop_strings = {std::string(1, *letter)};
  engine->submit(r);
  EXPECT_EQ(stopped.only().finish, FinishReason::stop_string);
  EXPECT_EQ(stopped.only().text, text.substr(0, text.find(r.stop_strings[0])));
  r = request(9, 80, token);
  r.stop_tokens = {whole.only().tokens[20]};
  engine->submit(r);
  EXPECT_EQ(token.only().finish, FinishReason::stop_token);
  EXPECT_THAT(token.only().tokens, ::testing::Not(::testing::Contains(r.stop_tokens[0])));
  EXPECT_EQ(whole.only().finish, FinishReason::max_tokens);
}

TEST_F(TinyEngine, SpellsControlTokensThatAreShown) {
  const std::int32_t control = *tiny_tokenizer().special_id("<|im_start|>");
  for (const bool shown : {false, true}) {
    Listener listener;
    EngineRequest r = request(5, 3, listener);
    r.sampling.temperature = 0;
    r.logit_bias = {{control, 1000.0f}};
    if (shown) r.shown_tokens = {control};
    auto engine = make();
    engine->submit(r);
    EXPECT_EQ(listener.only().text, shown ? "<|im_start|><|im_start|><|im_start|>" : "");
    EXPECT_EQ(listener.only().tokens.size(), 3u);
  }
}

TEST_F(TinyEngine, CancelFreesTheSlotAndThePages) {
  options = {.max_sequences = 1, .reuse = false};
  const auto engine = make();
  Listener first, waiting, after;
  const auto a = engine->submit(request(10, 500, first));
  const auto b = engine->submit(request(10, 500, waiting));
  engine->cancel(*b);
  engine->cancel(*a);
  EXPECT_EQ(first.only().finish, FinishReason::cancelled);
  EXPECT_EQ(waiting.only().finish, FinishReason::cancelled);
  EXPECT_LT(first.only().usage.completion_tokens, 500);
  engine->submit(request(10, 3, after));
  EXPECT_EQ(after.only().finish, FinishReason::max_tokens);
  engine->cancel(*a);  // again, after the end: nothing happens
  for (int i = 0; engine->metrics().running > 0 && i < 1000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(engine->metrics().pages_used, 0);
}

TEST_F(TinyEngine, RefusesWhatCanNeverFitAndAFullQueue) {
  options = {.max_sequences = 1, .max_queue = 3};
  auto engine = make();
  std::vector<Listener> listeners(10);
  EXPECT_THROW(engine->submit(request(500, 13, listeners[0])), UsageError);
  EXPECT_THROW(engine->submit(request(0, 1, listeners[0])), UsageError);
  EXPECT_THROW(engine->submit(request(1, -1, listeners[0])), UsageError);
  EngineRequest strange = request(4, 4, listeners[0]);
  strange.prompt[2] = 100000;
  EXPECT_THROW(engine->submit(strange), UsageError);
  int refused = 0;
  for (Listener& l : listeners) {
    try {
      engine->submit(request(20, 400, l));
    } catch (const QueueFull&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 6);
  EXPECT_EQ(engine->metrics().refused, refused);
  engine.reset();  // before those who listen
}

TEST_F(TinyEngine, KeysTakeTurnsAndDoNotShare) {
  options = {.max_sequences = 1};
  const auto engine = make();
  std::mutex mutex;
  std::string order;
  std::vector<Listener> listeners(7);
  for (std::size_t i = 0; i < 7; ++i) {
    EngineRequest r = request(70, 30, listeners[i]);
    r.key = i < 6 ? "greedy" : "modest";
    r.on_event = [&, i, inner = r.on_event](EngineEvent e) {
      if (e.finish != FinishReason::none) {
        const std::lock_guard lock(mutex);
        order += i < 6 ? 'g' : 'm';
      }
      inner(std::move(e));
    };
    engine->submit(r);
  }
  for (Listener& l : listeners) l.wait();
  EXPECT_LE(order.find('m'), 3u) << order;
  EXPECT_EQ(listeners[6].only().usage.cached_tokens, 0);
  EXPECT_EQ(listeners[5].only().usage.cached_tokens, 69);
}

TEST(FairQueueTest, KeysTakeTurnsAndEachHasItsPriorities) {
  FairQueue<std::string> queue;
  queue.push("a", "a1");
  queue.push("a", "a2", 5);
  queue.push("a", "a3", -1);
  queue.push("b", "b1", 100);
  queue.push("a", "a4");
  queue.push("b", "b2", 100);
  const auto dropped = queue.extract([](const std::string& s) { return s == "b1"; });
  EXPECT_THAT(dropped, ::testing::ElementsAre("b1"));
  std::vector<std::string> order;
  while (!queue.empty()) order.push_back(queue.pop());
  EXPECT_THAT(order, ::testing::ElementsAre("a3", "b2", "a1", "a4", "a2"));
}

TEST_F(TinyEngine, APromptThatIsCancelledHalfwayLeavesNothing) {
  // Steps that would take too long are cut: here every one.
  Scheduler scheduler(*model, tiny_tokenizer(), DType::f32,
                      {.max_sequences = 2, .step_seconds = 0, .reuse = false});
  Listener listener;
  const auto job = std::make_shared<EngineJob>();
  job->request = request(500, 5, listener);
  scheduler.add(job);
  scheduler.step();
  const std::int64_t first = scheduler.metrics().step_tokens;
  scheduler.step();
  EXPECT_EQ(scheduler.metrics().step_tokens, first + 32);
  EXPECT_EQ(scheduler.room(), 1u);
  job->cancelled = true;
  scheduler.sweep_cancelled();
  EXPECT_EQ(listener.only().finish, FinishReason::cancelled);
  EXPECT_EQ(scheduler.room(), 2u);
  EXPECT_EQ(scheduler.metrics().pages_used + scheduler.metrics().pages_cached, 0);
}

TEST_F(TinyEngine, AStormOfRequestsWithCancellations) {
  options = {.max_sequences = 16, .max_queue = 1000, .kv_bytes = 0};
  options.kv_bytes = 20 * KvPool::page_bytes(model->config(), DType::f32);
  const auto engine = make();
  const auto requests = mixed_requests(50);
  const auto expected = answers(*engine, requests, false);
  std::vector<std::thread> clients;
  std::atomic<int> cancelled = 0;
  for (std::size_t t = 0; t < 4; ++t) {
    clients.emplace_back([&, t] {
      std::vector<Listener> listeners(50);
      std::vector<std::shared_ptr<EngineJob>> jobs;
      for (std::size_t i = 0; i < 50; ++i) {
        EngineRequest r = requests[i];
        r.on_event = listeners[i].listen(r.choices);
        jobs.push_back(engine->submit(r));
        if ((i + t) % 4 == 0) engine->cancel(*jobs.back());
      }
      for (std::size_t i = 0; i < 50; ++i) {
        for (const auto& [c, choice] : listeners[i].wait().choices) {
          if (choice.finish == FinishReason::cancelled) {
            ++cancelled;
          } else {
            EXPECT_EQ(choice, expected[i].choices.at(c)) << i << " " << c;
          }
        }
      }
    });
  }
  for (auto& c : clients) c.join();
  EXPECT_GT(cancelled, 10);
}

}  // namespace
}  // namespace stepstone
