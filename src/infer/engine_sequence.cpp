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

}  // namespace

EngineSequence::EngineSequence(std::shared_ptr<EngineJob> job, std::size_t choice,
                               const Tokenizer& tokenizer)
    : job_(std::move(job)),
      choice_(choice),
      tokenizer_(tokenizer),
      sampler_(sampling_of(job_->request, choice)),
      decoder_(tokenizer, true),
      filter_(job_->request.stop_strings),
      text_(job_->request.prompt) {
  event_.choice = choice;
}

std::int64_t EngineSequence::reusable() const {
  const std::int64_t known = length() - 1;
  // What is said of a prompt's tokens takes their hidden states, not only keys and values.
  return request().embed || scores_prompt() ? std::min(known, seen_) : known;
}

void EngineSequence::saw(std::int64_t begin, const Tensor& hidden) {
  if (request().embed) {
    embedding_sum_.resize(static_cast<std::size_t>(hidden.dim(1)), 0.0);
    for (std::int64_t row = std::max<std::int64_t>(0, seen_ - begin); row < hidden.dim(0); ++row) {
      dispatch(hidden, [&](const auto* x) {
        x += row * hidden.dim(1);
        for (double& sum : embedding_sum_) sum += static_cast<float>(*x++);
      });
    }
  }
  seen_ = std::max(seen_, begin + hidden.dim(0));
}

bool EngineSequence::wants_logits(std::int64_t position) const {
  if (request().embed) return false;
  if (position + 1 == length()) return request().max_tokens > 0;
  return scores_prompt() && position >= seen_ && position + 1 < prompt_length();
}

void EngineSequence::score_prompt(std::int64_t position, std::span<const float> logits) {
  event_.prompt_logprobs.push_back(
      score_token(logits, text_[static_cast<std::size_t>(position) + 1], tokenizer_.vocab_size(),
                  std::max(0, request().top_logprobs)));
}

void EngineSequence::draw(std::span<const float> logits) {
  const auto vocab = static_cast<std::size_t>(tokenizer_.vocab_size());
  const auto n = static_cast<std::uint64_t>(drawn());
  if (request().logit_bias.empty()) {
    drawn_now_ = sampler_.sample(logits.first(vocab), text_, n);
  } else {
    std::vector<float> biased(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(vocab));
    for (const auto& [id, bias] : request().logit_bias) {
      biased[static_cast<std::size_t>(id)] += bias;
    }
    drawn_now_ = sampler_.sample(biased, text_, n);
  }
  if (request().top_logprobs >= 0) {
    scored_now_ = score_token(logits, *drawn_now_, tokenizer_.vocab_size(), request().top_logprobs);
  }
}

FinishReason EngineSequence::advance() {
  if (fresh() > 0) return FinishReason::none;
  if (request().embed || request().max_tokens == 0) return FinishReason::length;
  const std::int32_t token = *drawn_now_;
  drawn_now_.reset();
  text_.push_back(token);
  if (std::ranges::find(request().stop_tokens, token) != request().stop_tokens.end()) {
    return FinishReason::stop;
  }
  event_.tokens.push_back(token);
  if (scored_now_) event_.logprobs.push_back(std::move(*scored_now_));
  scored_now_.reset();
  say(filter_.push(to_utf8_lossy(decoder_.push(token))));
  if (filter_.stopped()) return FinishReason::stop;
  if (drawn() == request().max_tokens) return FinishReason::length;
  if (!event_.text.empty() || !event_.prompt_logprobs.empty()) emit();
  return FinishReason::none;
}

void EngineSequence::say(const std::string& text) { event_.text += text; }

void EngineSequence::emit() {
  request().on_event(std::exchange(event_, EngineEvent{.choice = choice_}));
}

void EngineSequence::finish(FinishReason reason, std::string error) {
  if (!filter_.stopped()) {
    say(filter_.push(to_utf8_lossy(decoder_.flush())));
    if (filter_.stopped() && reason == FinishReason::length) reason = FinishReason::stop;
    say(filter_.flush());
  }
  if (request().embed && reason == FinishReason::length) event_.embedding = normalised_embedding();
  event_.finish = reason;
  event_.error = std::move(error);
  event_.usage = {prompt_length(), std::max<std::int64_t>(0, reused_), drawn()};
  emit();
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
