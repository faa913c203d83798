// A short text from a model in training, to look at.
#pragma once

#include <string>
#include <string_view>

#include "models/transformer/transformer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// `prompt` and up to `tokens` tokens after it, with the default sampling and a fixed seed: texts at
// different steps differ by the model alone. Characters of the prompt that the tokenizer does not
// know are an Error.
std::string sample_text(const Transformer& model, const Tokenizer& tokenizer, DType compute,
                        std::string_view prompt, std::int64_t tokens);

}  // namespace stepstone
