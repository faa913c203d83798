// How probable the model found a token, and what else it thought of.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace stepstone {

struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;  // natural logarithm
};

struct ScoredToken {
  TokenLogprob token;
  std::vector<TokenLogprob> top;  // the most probable first; equals by id
};

// Of one row of logits, over all its entries; the `top` most probable are sought among the first
// `vocab`, those that the tokenizer has a token for.
ScoredToken score_token(std::span<const float> logits, std::int32_t token, std::int32_t vocab,
                        int top);

}  // namespace stepstone
