// Text from a model: prompt in, one token after another out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/matcher.h"
#include "infer/sampler.h"
#include "models/transformer/transformer.h"
#include "stone/stone.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

enum class StopReason : std::uint8_t {
  max_tokens,    // as many as were asked for
  stop_token,    // one of stop_tokens came
  stop_string,   // one of stop_strings came
  context_full,  // WhenFull::stop, and no room is left
  interrupted,   // GenerateOptions::interrupted said so
  grammar,       // the text is all that the grammar allows
};
std::string_view name_of(StopReason reason);

// What to do when prompt and text no longer fit the context.
enum class WhenFull : std::uint8_t {
  stop,
  // Forget the older half and go on, as a model with learned positions must: the newer half is
  // read again from position 0. A prompt that is too long loses its beginning.
  forget,
};

struct GenerateOptions {
  std::int64_t max_tokens = 256;
  SamplingParams sampling;
  std::uint64_t first_draw = 0;  // number of the sampler's first draw
  std::vector<std::int32_t> stop_tokens;
  std::vector<std::string> stop_strings;
  // What the text must look like; a stop token comes only where it may end.
  std::shared_ptr<const Grammar> grammar = {};
  WhenFull when_full = WhenFull::stop;
  // Called with text as it is complete: always whole characters, never a part of a stop string.
  std::function<void(std::string_view)> on_text;
  // Asked before every step; true ends the text there.
  std::function<bool()> interrupted;
};

struct GenerateStats {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;     // of the prompt, known from the text before
  std::int64_t forgotten_tokens = 0;  // by WhenFull::forget
  std::int64_t new_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;

  double prefill_rate() const;  // tokens per second; 0 when there was nothing to do
  double decode_rate() const;
};
Json to_json(const GenerateStats& stats);

struct Generation {
  std::string text;  // UTF-8: bytes that form no character are U+FFFD; no control tokens
  std::vector<std::int32_t> tokens;  // all that were drawn, a stop token included
  StopReason reason = StopReason::max_tokens;
  GenerateStats stats;
};

// One sequence at a time. Keeps keys and values from call to call: a prompt that begins like the
// last text (the next turn of a chat) costs only what is new. The bits do not depend on that.
class Generator {
 public:
  // `model` must outlive it. The context is the model's, at most `max_context` (0: no such limit).
  Generator(const Transformer& model, Tokenizer tokenizer, DType compute,
            std::int64_t max_context = 0);
  // Packs the model's weights.
  explicit Generator(Stone& stone, std::int64_t max_context = 0);

  // Throws UsageError for an empty prompt, one that leaves no room in the context (WhenFull::stop),
  // or options out of range.
  Generation generate(std::span<const std::int32_t> prompt, const GenerateOptions& options);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  std::int64_t context() const { return cache_.capacity(); }

 private:
  class Run;

  // Tokens of `text` but its last that are in the cache: the last one is always computed.
  std::int64_t cached_prefix(std::span<const std::int32_t> text) const;
  // f32 logits [1, vocab] of what follows `text`; nothing when interrupted.
  std::optional<Tensor> next_logits(std::span<const std::int32_t> text,
                                    const GenerateOptions& options);

  const Transformer& model_;
  Tokenizer tokenizer_;
  DType compute_;
  KvCache cache_;
  std::vector<std::int32_t> cached_;       // the tokens in cache_
  std::shared_ptr<const TokenTree> tree_;  // made for the first grammar
};

// How a text begins, as in training (data/tokenize.h): bos, where the tokenizer has one that is not
// its eos, then the tokens of `text`. An empty
// text without bos begins as after the end of a document (eos), or with a line break.
std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text);

// What ends a document or a chat message: eos and <|im_end|>, where the tokenizer has them.
std::vector<std::int32_t> stop_tokens(const Tokenizer& tokenizer);

}  // namespace stepstone
