#include "infer/engine_sequence.h"

#include <algorithm>
#include <cmath>

#include "io/utf8.h"

namespace stepstone {
namespace {

SamplingParams sampling_of(const EngineRequest& request, std::size_t choice) {
  SamplingParams params = request.sampling;
  params.seed += choice;
  return params;
}

double seconds_between(EngineClock::time_point from, EngineClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string_view name_of(FinishReason reason) {
  constexpr std::string_view kNames[kFinishReasons] = {"none",      "stop_token", "stop_string",
                                                       "grammar",   "max_tokens", "context_full",
                                                       "cancelled", "refused",    "error"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::string_view api_name(FinishReason reason) {
  constexpr std::string_view kNames[kFinishReasons] = {"none",   "stop",  "stop",  "stop", "length",
                                                       "length", "abort", "error", "error"};
  return kNames[static_cast<std::size_t>(reason)];
}

EngineSequence::EngineSequence(std::shared_ptr<EngineJob> job, std::size_t choice,
                               const Tokenizer& tokenizer, std::shared_ptr<const TokenTree> tree,
                               const GrammarBudget& budget, std::int64_t context)
    : job_(std::move(job)),
      choice_(choice),
      tokenizer_(tokenizer),
      context_(context),
      sampler_(sampling_of(job_->request, choice)),
      decoder_(tokenizer, true),
      filter_(job_->request.stop_strings),
      budget_(budget),
      text_(job_->request.prompt) {
  event_.choice = choice;
  if (request().grammar && tree) matcher_.emplace(request().grammar, std::move(tree), budget);
  if (length() > context_) forget();
}

std::int64_t EngineSequence::capacity() const {
  return request().when_full == WhenFull::refuse ? prompt_length() + request().max_tokens
                                                 : context_;
}

std::int64_t EngineSequence::reusable() const {
  const std::int64_t known = length() - 1;
  // What is said of a prompt's tokens takes their hidden states, not only keys and values.
  return request().embed || scores_prompt() ? std::min(known, seen_) : known;
}

void EngineSequence::saw(std::int64_t begin, std::int64_t count, const Tensor& hidden) {
  if (request().embed) {
    embedding_sum_.resize(static_cast<std::size_t>(hidden.dim(1)), 0.0);
    for (std::int64_t row = std::max<std::int64_t>(0, seen_ - begin); row < hidden.dim(0); ++row) {
      dispatch(hidden, [&](const auto* x) {
        x += row * hidden.dim(1);
        for (double& sum : embedding_sum_) sum += static_cast<float>(*x++);
      });
    }
  }
  seen_ = std::max(seen_, begin + count);
}

bool EngineSequence::wants_logits(std::int64_t position) const {
  if (request().embed) return false;
  if (position + 1 >= length()) return request().max_tokens > 0;
  return scores_prompt() && position >= seen_ && position + 1 < prompt_length() &&
         position + 1 >= request().prompt_logprobs_from;
}

void EngineSequence::score_prompt(std::int64_t position, std::span<const float> logits) {
  event_.prompt_logprobs.push_back(
      score_token(logits, text_[static_cast<std::size_t>(position) + 1], tokenizer_.vocab_size(),
                  std::max(0, request().top_logprobs)));
}

bool EngineSequence::draw(std::span<const float> logits) {
  const auto token = sample(logits.first(static_cast<std::size_t>(tokenizer_.vocab_size())));
  if (!token) {
    finish_ = FinishReason::grammar;
    return false;
  }
  text_.push_back(*token);
  const auto at = static_cast<std::size_t>(drawn_now_++);
  if (std::ranges::find(request().stop_tokens, *token) != request().stop_tokens.end()) {
    finish_ = FinishReason::stop_token;
    return false;
  }
  if (request().top_logprobs >= 0) {
    event_.logprobs.push_back(
        score_token(logits, *token, tokenizer_.vocab_size(), request().top_logprobs));
  }
  append(*token);
  return !ended() && drawn_now_ <= draft.sent && draft.tokens[at] == *token && grammar_has_time();
}

void EngineSequence::guess(std::span<const float> logits) {
  const std::size_t length = text_.size();
  text_.insert(text_.end(), draft.tokens.begin(), draft.tokens.end());
  const auto n = request().first_draw + static_cast<std::uint64_t>(drawn());
  const std::int32_t token =
      sampler_.peek(logits.first(static_cast<std::size_t>(tokenizer_.vocab_size())), text_, n);
  text_.resize(length);
  if (draft.p_min > 0) {
    const double logprob = score_token(logits, token, tokenizer_.vocab_size(), 0).token.logprob;
    if (std::exp(logprob) < draft.p_min) {
      draft.wanted = std::ssize(draft.tokens);
      return;
    }
  }
  draft.tokens.push_back(token);
}

// Nothing when the grammar allows nothing more.
std::optional<std::int32_t> EngineSequence::sample(std::span<const float> logits) {
  const std::uint64_t n = request().first_draw + static_cast<std::uint64_t>(drawn());
  if (!matcher_ && request().logit_bias.empty()) return sampler_.sample(logits, text_, n);
  own_logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : request().logit_bias) {
    own_logits_[static_cast<std::size_t>(id)] += bias;
  }
  if (matcher_ && !matcher_->mask(own_logits_, request().stop_tokens)) return std::nullopt;
  return sampler_.sample(own_logits_, text_, n);
}

void EngineSequence::append(std::int32_t token) {
  event_.tokens.push_back(token);
  if (matcher_) matcher_->accept(token);
  const bool shown =
      std::ranges::find(request().shown_tokens, token) != request().shown_tokens.end();
  event_.text += filter_.push(
      to_utf8_lossy(shown ? decoder_.flush() + std::string(tokenizer_.token_bytes(token))
                          : decoder_.push(token)));
  if (filter_.stopped()) {
    finish_ = FinishReason::stop_string;
  } else if (drawn() == request().max_tokens) {
    finish_ = FinishReason::max_tokens;
  } else if (length() > context_) {
    if (request().when_full == WhenFull::stop) finish_ = FinishReason::context_full;
  }
}

void EngineSequence::settle_draft() {
  const auto drawn = std::span(text_).last(static_cast<std::size_t>(drawn_now_));
  const std::int64_t right = std::ranges::mismatch(drawn, draft.tokens).in1 - drawn.begin();
  draft.length().observe(right, right < std::min(drawn_now_, std::ssize(draft.tokens)));
  if (draft.source == Draft::Source::model && draft.looked_up && drawn_now_ > 0) {
    const bool equal = *draft.looked_up == drawn.front();
    draft.lookup_length.observe(equal ? 1 : 0, !equal);
  }
  drafted_ += draft.sent;
  accepted_ += std::min(right, draft.sent);
  if (draft.sent > 0) cache->truncate(length() - 1);
  if (draft.cache) {
    const std::int64_t known = std::min(length() - 1, length() - drawn_now_ + right);
    draft.cache->truncate(std::min(draft.cache->length(), known));
  }
  drawn_now_ = 0;
  if (matcher_) grammar_spent_ = matcher_->spent();
  draft.clear();
}

void EngineSequence::lose_caches() {
  cache.reset();
  draft.cache.reset();
}

void EngineSequence::forget() {
  const auto keep = static_cast<std::size_t>(std::max<std::int64_t>(1, context_ / 2));
  forgotten_ += length() - static_cast<std::int64_t>(keep);
  begin_ = text_.size() - keep;
  if (cache) cache->truncate(0);
  if (draft.cache) draft.cache->truncate(0);
}

FinishReason EngineSequence::advance() {
  settle_draft();
  if (ended()) return finish_;
  if (fresh() == 0) return FinishReason::max_tokens;  // of 0
  if (length() > context_) forget();
  const bool news = !event_.text.empty() || !event_.prompt_logprobs.empty();
  if (drawn() > 0 && news) emit();
  return FinishReason::none;
}

void EngineSequence::emit() {
  request().on_event(std::exchange(event_, EngineEvent{.choice = choice_}));
}

void EngineSequence::finish(FinishReason reason, std::string error) {
  if (!filter_.stopped()) {
    event_.text += filter_.push(to_utf8_lossy(decoder_.flush()));
    const bool ends = reason != FinishReason::cancelled && !failed(reason);
    if (filter_.stopped() && ends) reason = FinishReason::stop_string;
    event_.text += filter_.flush();
  }
  if (request().embed && reason == FinishReason::max_tokens) {
    event_.embedding = normalised_embedding();
  }
  event_.finish = reason;
  event_.error = std::move(error);
  event_.stopped_by = filter_.found();
  event_.usage = usage();
  emit();
}

EngineUsage EngineSequence::usage() const {
  EngineUsage u;
  u.prompt_tokens = prompt_length();
  u.cached_tokens = std::max<std::int64_t>(0, reused_);
  u.completion_tokens = drawn();
  u.forgotten_tokens = forgotten_;
  u.drafted_tokens = drafted_;
  u.accepted_tokens = accepted_;
  if (drawn() > 0) {
    u.prefill_seconds = seconds_between(admitted, first_token);
    u.decode_seconds = seconds_between(first_token, last_token);
  }
  return u;
}

std::vector<float> EngineSequence::normalised_embedding() const {
  double squares = 0;
  for (const double x : embedding_sum_) squares += x * x;
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> result;
  for (const double x : embedding_sum_) result.push_back(static_cast<float>(x * scale));
  return result;
}

}  // namespace stepstone
