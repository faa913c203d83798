#include "infer/sample_text.h"

#include "infer/generator.h"

namespace stepstone {

std::string sample_text(const Transformer& model, const Tokenizer& tokenizer, DType compute,
                        std::string_view prompt, std::int64_t tokens) {
  Generator generator(model, tokenizer, compute);
  GenerateOptions options;
  options.max_tokens = tokens;
  options.stop_tokens = stop_tokens(tokenizer);
  options.when_full = WhenFull::forget;
  return std::string(prompt) + generator.generate(prompt_tokens(tokenizer, prompt), options).text;
}

}  // namespace stepstone
