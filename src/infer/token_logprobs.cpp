#include "infer/token_logprobs.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace stepstone {

ScoredToken score_token(std::span<const float> logits, std::int32_t token, std::int32_t vocab,
                        int top) {
  const float best = *std::ranges::max_element(logits);
  double total = 0;
  for (const float z : logits) total += std::exp(static_cast<double>(z) - best);
  const double log_total = std::log(total) + best;
  require(std::isfinite(log_total),
          "the model's output is not a number: its weights are damaged, or training diverged");
  const auto logprob = [&](float z) { return static_cast<float>(z - log_total); };

  ScoredToken scored{{token, logprob(logits[static_cast<std::size_t>(token)])}, {}};
  if (top <= 0) return scored;
  std::vector<TokenLogprob> all;
  for (std::int32_t id = 0; id < vocab; ++id) {
    all.push_back({id, logits[static_cast<std::size_t>(id)]});
  }
  const auto count = std::min<std::ptrdiff_t>(top, std::ssize(all));
  std::partial_sort(all.begin(), all.begin() + count, all.end(),
                    [](const TokenLogprob& a, const TokenLogprob& b) {
                      return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
                    });
  all.resize(static_cast<std::size_t>(count));
  for (TokenLogprob& t : all) t.logprob = logprob(t.logprob);
  scored.top = std::move(all);
  return scored;
}

}  // namespace stepstone
