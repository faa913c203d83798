// Many texts from one model at once: continuous batching, step by step.
//
// A step runs the model over one token of every text that is being written and pieces of the
// prompts that wait, under a budget of tokens, so a long prompt never holds up the others. Keys and
// values lie in pages of one pool; texts with the same beginning share them, during the work and
// after it, within the same key.
//
// A request's tokens and log-probabilities are the same bits alone or among others, whichever way
// its prompt was cut, with and without reuse.
//
// Everything that serves text goes through here: the engine of the server on a thread of its own
// (engine.h), generate, chat and eval on the caller's (generator.h).
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "infer/engine_metrics.h"
#include "infer/engine_sequence.h"
#include "models/transformer/transformer.h"

namespace stepstone {

struct EngineOptions {
  std::int64_t context = 0;        // tokens per text at most; 0: the model's
  std::size_t max_sequences = 16;  // texts being written at a time
  std::size_t max_queue = 256;     // requests waiting before an Engine
  std::int64_t step_tokens = 256;  // tokens per step
  double step_seconds = 0.5;       // prompts are cut smaller where a step would take longer
  std::int64_t kv_bytes = 0;       // of keys and values at most; 0: default_kv_bytes()
  double kv_share = 1;             // of kv_bytes, unless a single text needs more
  CacheTypes cache = {};           // what keys and values are kept in
  bool reuse = true;               // of finished texts' keys and values
  GrammarBudget grammar = {};      // of each text
  SpeculationOptions speculation = {};
};

// A quarter of the machine's memory.
std::int64_t default_kv_bytes();

class StepBatch;

class Scheduler {
 public:
  // `model`, packed for `compute`, must outlive this. Throws UsageError for options that make no
  // sense together.
  Scheduler(const Transformer& model, Tokenizer tokenizer, DType compute, EngineOptions options);
  ~Scheduler();

  // Any thread may ask these. check() throws UsageError for a request that can never be served.
  void check(const EngineRequest& request) const;
  std::int64_t context() const { return context_; }  // tokens of prompt and text together
  const Tokenizer& tokenizer() const { return tokenizer_; }
  std::int64_t kv_bytes() const { return kv_bytes_; }  // of keys and values at most
  EngineMetrics metrics() const;

  // All others belong to one thread; on_event is called there.
  //
  // Takes up a job whose request was checked.
  void add(std::shared_ptr<EngineJob> job);
  // Texts that could begin now.
  std::size_t room() const;
  bool idle() const { return running_.empty() && ready_.empty(); }
  // One step, and the events that come of it.
  void step();
  // Ends the texts whose jobs are cancelled.
  void sweep_cancelled();
  // Ends all texts.
  void cancel_all();
  // Says of a job that was never added that it was cancelled.
  void reject(std::shared_ptr<EngineJob> job);

 private:
  std::unique_ptr<EngineSequence> make_sequence(std::shared_ptr<EngineJob> job, std::size_t choice);
  void admit();
  void reuse_prefix(EngineSequence& sequence);
  std::int64_t budget() const;
  void guess_ahead();
  void fill(StepBatch& batch);
  void compute(StepBatch& batch);
  void finish_step(StepBatch& batch);
  bool make_room(EngineSequence& sequence, std::int64_t tokens, const StepBatch& batch);
  void count_drawn(EngineSequence& sequence, std::int64_t before);
  void spawn_choices(EngineSequence& first);
  void retire(EngineSequence& sequence, FinishReason reason, std::string error = {});
  void update_gauges();

  const Transformer& model_;
  Tokenizer tokenizer_;
  DType compute_;
  EngineOptions options_;
  std::int64_t context_ = 0;
  std::shared_ptr<KvPool> pool_;
  std::int64_t kv_bytes_ = 0;                        // a draft model's too
  std::shared_ptr<const TokenTree> tree_;            // made for the first grammar
  std::shared_ptr<const DryBreakers> dry_breakers_;  // for those who say nothing of it
  std::optional<Drafter> drafter_;
  double rate_ = 0;  // tokens per second of steps that read prompts

  std::vector<std::unique_ptr<EngineSequence>> running_;  // oldest first
  std::vector<std::unique_ptr<EngineSequence>> ready_;    // to run next; last first
  struct Finished {
    std::string key;
    KvCache cache;
  };
  std::vector<std::unique_ptr<Finished>> finished_;  // least recently used first

  mutable std::mutex metrics_mutex_;
  EngineMetrics metrics_;
};

}  // namespace stepstone
