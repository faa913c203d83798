// What is asked of a model, and what it answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/grammar.h"
#include "infer/sampler.h"
#include "infer/token_logprobs.h"

namespace stepstone {

enum class FinishReason : std::uint8_t {
  none,
  stop_token,    // one of stop_tokens came
  stop_string,   // one of stop_strings came
  grammar,       // the text is all that the grammar allows
  max_tokens,    // as many as were asked for
  context_full,  // WhenFull::stop, and no room is left
  cancelled,
  refused,  // what is asked for cannot be given: a grammar takes too long to follow
  error,
};
inline constexpr std::size_t kFinishReasons = 9;
// The text ends in a failure, which EngineEvent::error names.
constexpr bool failed(FinishReason reason) {
  return reason == FinishReason::refused || reason == FinishReason::error;
}
std::string_view name_of(FinishReason reason);
// "stop", "length", "abort" or "error", as OpenAI's API and vLLM's metrics say it.
std::string_view api_name(FinishReason reason);

// What to do when prompt and text do not fit the context.
enum class WhenFull : std::uint8_t {
  refuse,  // a request that asks for more than there is room for
  stop,    // the text where no room is left
  // Forget the older half and go on, as a model with learned positions must: the newer half is
  // read again from position 0. A prompt that is too long loses its beginning.
  forget,
};

struct EngineUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;      // of the prompt, reused
  std::int64_t completion_tokens = 0;  // drawn, a stop token included
  std::int64_t forgotten_tokens = 0;   // by WhenFull::forget
  std::int64_t drafted_tokens = 0;     // by speculation
  std::int64_t accepted_tokens = 0;    // of those, the ones that were drawn then
  double prefill_seconds = 0;          // to the first token, without the wait in a queue
  double decode_seconds = 0;           // from there to the end
};

// What came of one choice since its last event.
struct EngineEvent {
  std::size_t choice = 0;
  std::string text = {};                          // whole characters, never a part of a stop string
  std::vector<std::int32_t> tokens = {};          // drawn, without a stop token
  std::vector<ScoredToken> logprobs = {};         // as long as tokens, when asked for
  std::vector<ScoredToken> prompt_logprobs = {};  // of the prompt, from prompt_logprobs_from; once
  std::vector<float> embedding = {};              // once, of EngineRequest::embed
  FinishReason finish = FinishReason::none;  // other than none: this is the choice's last event
  std::string error = {};                    // of one that failed
  std::string stopped_by = {};               // with FinishReason::stop_string
  EngineUsage usage = {};                    // with the last event
};

// What a request may say of speculation; none: as the engine has it.
struct SpeculationLimits {
  std::optional<std::int64_t> most = {};   // tokens guessed in a step, if the engine allows so many
  std::optional<std::int64_t> least = {};  // by a draft model: fewer are not looked at
  std::optional<double> p_min = {};        // of each token that it guesses
};

struct EngineRequest {
  std::vector<std::int32_t> prompt = {};
  std::int64_t max_tokens = 0;
  SamplingParams sampling = {};  // choice i draws with seed + i
  std::uint64_t first_draw = 0;  // number of the sampler's first draw
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};
  std::vector<std::int32_t> stop_tokens = {};
  std::vector<std::string> stop_strings = {};
  // What the text must look like; a stop token comes only where it may end.
  std::shared_ptr<const Grammar> grammar = {};
  // Control tokens that are part of the text, as they are spelled.
  std::vector<std::int32_t> shown_tokens = {};
  WhenFull when_full = WhenFull::refuse;
  SpeculationLimits speculation = {};  // where the engine guesses: the text is the same
  int top_logprobs = -1;               // alternatives to report per token; -1: no log-probabilities
  bool prompt_logprobs = false;        // also of the prompt
  std::int64_t prompt_logprobs_from = 1;  // its first token that is scored
  bool embed = false;  // no text: the mean of the prompt's final hidden states, length 1
  std::size_t choices = 1;
  std::string key = {};  // whose request: fairness is between keys, reuse within one
  int priority = 0;      // among those of its key that wait: low numbers first
  // Called on the thread that runs the model; must be quick and not throw.
  std::function<void(EngineEvent)> on_event = {};
};

}  // namespace stepstone
