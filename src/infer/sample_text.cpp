#include "infer/sample_text.h"

#include "infer/generator.h"
#include "stone/end_tokens.h"

namespace stepstone {

std::string sample_text(const Transformer& model, const Tokenizer& tokenizer, DType compute,
                        std::string_view prompt, std::int64_t tokens) {
  Generator generator(model, tokenizer, compute);
  EngineRequest request;
  request.prompt = prompt_tokens(tokenizer, prompt);
  request.max_tokens = tokens;
  request.stop_tokens = end_tokens(tokenizer, {});
  request.when_full = WhenFull::forget;
  return std::string(prompt) + generator.generate(std::move(request)).text;
}

}  // namespace stepstone
