// The most probable continuations of many prompts at once, for measuring.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "models/transformer/transformer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

struct BatchOptions {
  std::int64_t max_tokens = 64;
  std::vector<std::int32_t> stop_tokens;
  std::vector<std::string> stop_strings;
  std::size_t width = 32;  // prompts at a time
  std::function<void(std::size_t done)> progress = {};
};

// The texts that Generator gives at temperature 0, one per prompt: the same bits, many rows to a
// matrix product. A prompt that leaves no room in the model's context gives an empty text.
std::vector<std::string> greedy_texts(const Transformer& model, const Tokenizer& tokenizer,
                                      DType compute,
                                      std::span<const std::vector<std::int32_t>> prompts,
                                      const BatchOptions& options);

}  // namespace stepstone
