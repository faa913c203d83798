// Many requests to one model at once: continuous batching.
//
// One thread owns the model. Each of its steps runs the model over one token of every text that is
// being written and pieces of the prompts that wait, under a budget of tokens, so a long prompt
// never holds up the others. Keys and values lie in pages of one pool; texts with the same
// beginning share them, during the work and after it, within the same key.
//
// A request's tokens and log-probabilities are the same bits alone or among others, whichever way
// its prompt was cut, with and without reuse.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "infer/engine_metrics.h"
#include "infer/fair_queue.h"
#include "infer/sampler.h"
#include "infer/token_logprobs.h"
#include "models/transformer/transformer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// The queue has no room; try again later.
class QueueFull : public Error {
 public:
  using Error::Error;
};

struct EngineOptions {
  std::int64_t context = 0;        // tokens per text at most; 0: the model's
  std::size_t max_sequences = 16;  // texts being written at a time
  std::size_t max_queue = 256;     // requests waiting
  std::int64_t step_tokens = 256;  // tokens per step
  std::int64_t kv_bytes = 0;       // of keys and values; 0: what max_sequences texts of `context`
                                   // tokens need, at most a quarter of the machine's memory
  bool reuse = true;               // of finished texts' keys and values
};

enum class FinishReason : std::uint8_t { none, stop, length, cancelled, error };
inline constexpr std::size_t kFinishReasons = 5;
std::string_view name_of(FinishReason reason);

struct EngineUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;      // of the prompt, reused
  std::int64_t completion_tokens = 0;  // drawn, a stop token included
};

// What came of one choice since its last event.
struct EngineEvent {
  std::size_t choice = 0;
  std::string text = {};                          // whole characters, never a part of a stop string
  std::vector<std::int32_t> tokens = {};          // drawn, without a stop token
  std::vector<ScoredToken> logprobs = {};         // as long as tokens, when asked for
  std::vector<ScoredToken> prompt_logprobs = {};  // of the prompt from its second token on; once
  std::vector<float> embedding = {};              // once, of EngineRequest::embed
  FinishReason finish = FinishReason::none;  // other than none: this is the choice's last event
  std::string error = {};                    // with FinishReason::error
  EngineUsage usage = {};                    // with the last event
};

struct EngineRequest {
  std::vector<std::int32_t> prompt = {};
  std::int64_t max_tokens = 0;
  SamplingParams sampling = {};  // choice i draws with seed + i
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};
  std::vector<std::int32_t> stop_tokens = {};
  std::vector<std::string> stop_strings = {};
  int top_logprobs = -1;         // alternatives to report per token; -1: no log-probabilities
  bool prompt_logprobs = false;  // also of the prompt
  bool embed = false;            // no text: the mean of the prompt's final hidden states, length 1
  std::size_t choices = 1;
  std::string key = {};  // whose request: fairness is between keys, reuse within one
  // Called on the engine's thread; must be quick and not throw.
  std::function<void(EngineEvent)> on_event = {};
};

struct EngineJob;
class EngineSequence;
class EngineBatch;

class Engine {
 public:
  // `model`, packed for `compute`, must outlive this. Throws UsageError for options that make no
  // sense together.
  Engine(const Transformer& model, Tokenizer tokenizer, DType compute, EngineOptions options);
  // Ends what runs and waits with FinishReason::cancelled.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // From any thread. Throws UsageError for a request that can never be served, QueueFull.
  std::shared_ptr<EngineJob> submit(EngineRequest request);
  // From any thread, also after the end. The request's last events say "cancelled"; its memory is
  // free before the next step.
  void cancel(EngineJob& job);

  // Tokens that prompt and text may have together.
  std::int64_t context() const { return context_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  EngineMetrics metrics() const;

 private:
  void run();
  // Waits for work; false at the end.
  bool wait_for_work();
  void sweep_cancelled();
  void admit();
  std::unique_ptr<EngineSequence> next_waiting();
  void reuse_prefix(EngineSequence& sequence);
  void step();
  void finish_step(EngineBatch& batch);
  bool make_room(EngineSequence& sequence, std::int64_t tokens, const EngineBatch& batch);
  void fill(EngineBatch& batch);
  void spawn_choices(EngineSequence& first);
  void retire(EngineSequence& sequence, FinishReason reason, std::string error = {});
  void update_gauges();

  const Transformer& model_;
  Tokenizer tokenizer_;
  DType compute_;
  EngineOptions options_;
  std::int64_t context_ = 0;
  std::shared_ptr<KvPool> pool_;

  // The engine's thread alone:
  std::vector<std::unique_ptr<EngineSequence>> running_;  // oldest first
  std::vector<std::unique_ptr<EngineSequence>> ready_;    // to run before the queue; last first
  struct Finished {
    std::string key;
    KvCache cache;
  };
  std::vector<std::unique_ptr<Finished>> finished_;  // least recently used first

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  FairQueue<std::shared_ptr<EngineJob>> waiting_;
  bool stopping_ = false, cancelling_ = false;
  EngineMetrics metrics_;
  std::thread thread_;
};

}  // namespace stepstone
