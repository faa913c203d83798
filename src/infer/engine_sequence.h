// One text on its way: what of it the model has seen, what was drawn, what was said.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "grammar/matcher.h"
#include "infer/draft.h"
#include "infer/engine_request.h"
#include "infer/stop_filter.h"
#include "models/transformer/kv_cache.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

using EngineClock = std::chrono::steady_clock;

struct EngineJob {
  EngineRequest request;
  EngineClock::time_point submitted = EngineClock::now();
  std::atomic<bool> cancelled = false;
  bool spawned = false;  // the choices after the first exist
};

class EngineSequence {
 public:
  // `tree` is needed for a request with a grammar; `context` bounds what the model sees.
  EngineSequence(std::shared_ptr<EngineJob> job, std::size_t choice, const Tokenizer& tokenizer,
                 std::shared_ptr<const TokenTree> tree, const GrammarBudget& budget,
                 std::int64_t context);

  const EngineJob& job() const { return *job_; }
  const std::shared_ptr<EngineJob>& shared_job() const { return job_; }
  const EngineRequest& request() const { return job_->request; }

  // What the model sees: prompt and what was drawn, but for what is forgotten.
  std::span<const std::int32_t> text() const { return std::span(text_).subspan(begin_); }
  std::int64_t length() const { return std::ssize(text()); }
  std::int64_t prompt_length() const { return std::ssize(request().prompt); }
  // Tokens of text() that may be cached.
  std::int64_t capacity() const;

  // Keys and values while running.
  std::optional<KvCache> cache;
  // What may follow the text.
  Draft draft;
  // Gives both models' keys and values back.
  void lose_caches();
  // Tokens that the model has not seen; the draft is none of them.
  std::int64_t fresh() const { return length() - cache->length(); }
  bool decoding() const { return fresh() == 1 && drawn() > 0; }
  std::int64_t drawn() const { return std::ssize(text_) - prompt_length(); }
  // Tokens of the text that may come from elsewhere instead of being computed.
  std::int64_t reusable() const;

  // Positions [begin, begin + count) were computed. An embedding takes what it needs from their
  // hidden states, which no other request has whole.
  void saw(std::int64_t begin, std::int64_t count, const Tensor& hidden);
  // True when the logits at `position` are needed.
  bool wants_logits(std::int64_t position) const;
  // With the logits there; safe for different sequences at once. Throws Error for logits that are
  // not numbers.
  void score_prompt(std::int64_t position, std::span<const float> logits);
  // Draws the next token of the text. True: it is the next of the draft that was sent, so the row
  // after this one holds the logits after it.
  bool draw(std::span<const float> logits);
  // From the draft model's logits after text and draft: the draft's next token, or its end where
  // the model is not sure enough.
  void guess(std::span<const float> logits);
  bool ended() const { return finish_ != FinishReason::none; }

  // After a step: says what there is to say. Other than none: the text ends here.
  FinishReason advance();
  // Says the last event.
  void finish(FinishReason reason, std::string error);

  void count_reused(std::int64_t tokens) { reused_ = reused_ < 0 ? tokens : reused_; }
  std::int64_t accepted() const { return accepted_; }  // guesses
  bool admitted_before() const { return reused_ >= 0; }

  EngineClock::time_point admitted, first_token, last_token;

 private:
  // Guesses are taken for as long as the grammar lets a step end in time.
  bool grammar_has_time() const {
    return !matcher_ || matcher_->spent() - grammar_spent_ < budget_.token;
  }
  bool scores_prompt() const { return request().prompt_logprobs && choice_ == 0; }
  std::optional<std::int32_t> sample(std::span<const float> logits);
  void append(std::int32_t token);
  void settle_draft();
  void forget();
  void emit();
  EngineUsage usage() const;
  std::vector<float> normalised_embedding() const;

  std::shared_ptr<EngineJob> job_;
  std::size_t choice_;
  const Tokenizer& tokenizer_;
  std::int64_t context_;
  TokenSampler sampler_;
  StreamDecoder decoder_;
  StopFilter filter_;
  GrammarBudget budget_;
  std::optional<GrammarMatcher> matcher_;
  std::vector<std::int32_t> text_;
  std::size_t begin_ = 0;  // what comes before is forgotten
  std::vector<float> own_logits_;
  FinishReason finish_ = FinishReason::none;  // what the last draw found
  std::int64_t drawn_now_ = 0;                // tokens of this step
  std::int64_t grammar_spent_ = 0;            // by the matcher before this step
  std::int64_t drafted_ = 0, accepted_ = 0;
  std::vector<double> embedding_sum_;
  std::int64_t seen_ = 0;     // positions whose hidden states were used
  std::int64_t reused_ = -1;  // of the prompt; -1: not admitted yet
  std::int64_t forgotten_ = 0;
  EngineEvent event_;  // the next one
};

}  // namespace stepstone
