// Text from a model, on the caller's thread: prompt in, one token after another out.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/scheduler.h"
#include "stone/stone.h"

namespace stepstone {

struct Generation {
  std::string text;  // UTF-8: bytes that form no character are U+FFFD; no control tokens
  std::vector<std::int32_t> tokens;  // drawn, without a stop token
  FinishReason reason = FinishReason::none;
  EngineUsage usage;
};
// Tokens per second; 0 when there was nothing to do.
double prefill_rate(const EngineUsage& usage);
double decode_rate(const EngineUsage& usage);
Json to_json(const EngineUsage& usage);

// What the caller of a Generator may want to know and say on the way.
struct GenerateHooks {
  // Text as it is complete: always whole characters, never a part of a stop string.
  std::function<void(std::string_view)> on_text = {};
  // Asked before every step; true ends the text there.
  std::function<bool()> interrupted = {};
  // Asked-for texts that are complete.
  std::function<void(std::size_t done)> progress = {};
};

struct GeneratorOptions {
  std::int64_t context = 0;  // tokens of it at most; 0: the model's
  std::size_t width = 1;     // texts at a time
  CacheTypes cache = {};
  SpeculationOptions speculation = {};
};

// Keeps keys and values from call to call: a prompt that begins like an earlier text (the next turn
// of a chat) costs only what is new. The bits do not depend on that.
class Generator {
 public:
  // `model` must outlive it.
  Generator(const Transformer& model, Tokenizer tokenizer, DType compute,
            const GeneratorOptions& options = {});
  // Packs the model's weights.
  explicit Generator(Stone& stone, const GeneratorOptions& options = {});

  // Throws UsageError for a request that cannot be served, Error when the model fails.
  Generation generate(EngineRequest request, const GenerateHooks& hooks = {});
  // One text per prompt, the same as one by one. A prompt that does not fit gives an empty text.
  // on_text is not called.
  std::vector<Generation> generate_all(std::span<const std::vector<std::int32_t>> prompts,
                                       const EngineRequest& request,
                                       const GenerateHooks& hooks = {});

  const Tokenizer& tokenizer() const { return scheduler_.tokenizer(); }
  std::int64_t context() const { return scheduler_.context(); }

 private:
  std::vector<Generation> run(std::vector<EngineRequest> requests, const GenerateHooks& hooks);

  Scheduler scheduler_;
};

// How a text begins, as in training (data/tokenize.h): bos, where the tokenizer has one that is not
// its eos, then the tokens of `text`. An empty
// text without bos begins as after the end of a document (eos), or with a line break.
std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text);

}  // namespace stepstone
