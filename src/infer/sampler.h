// From logits to the next token.
//
// The chain and its order are those that llama.cpp documents: penalties, DRY, top-k, typical,
// top-p, min-p, temperature, draw. So typical, top-p and min-p look at the model's own
// probabilities, and temperature only flattens or sharpens what they leave.
//
//   penalties    over the last `penalty_window` tokens, for each token that occurs there c times:
//                z > 0 ? z / repeat : z * repeat (Keskar et al. 2019, arXiv:1909.05858), then
//                z -= presence + c * frequency
//   DRY          z -= multiplier * base^(l - allowed) for a token that would make a repetition of
//                the last l >= allowed tokens one longer; a breaker ends what counts as repeated
//                (p-e-w 2024, text-generation-webui pull request 5677)
//   top-k        the k highest logits
//   typical      the fewest tokens, those of the most usual surprise first, whose probabilities
//                reach p (Meister et al. 2022, arXiv:2202.00666)
//   top-p        the fewest tokens, most probable first, whose probabilities reach p
//                (Holtzman et al. 2020, arXiv:1904.09751)
//   min-p        tokens at least min_p times as probable as the best (arXiv:2407.01082)
//   temperature  z / t; 0 takes the highest logit
//
// Mirostat 2 (Basu et al. 2021, arXiv:2007.14966) takes the place of top-k to min-p: of the tokens
// whose surprise, in bits, is at most mu; mu starts at 2 tau and moves by eta times the error of
// each draw, so there a draw depends on those before it.
//
// Equal logits rank by token id, lowest first. The n-th draw uses the n-th number of the seed's
// stream and nothing else, so a text can be continued, or one of its tokens drawn again.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "infer/dry_breakers.h"

namespace stepstone {

struct SamplingParams {
  double temperature = 0.8;          // [0, 100]
  std::int64_t top_k = 40;           // 0: all
  double top_p = 0.95;               // (0, 1]; 1: all
  double min_p = 0.05;               // [0, 1]; 0: all
  double typical_p = 1;              // (0, 1]; 1: all
  double repeat_penalty = 1;         // [0.01, 100]; 1: none
  double presence_penalty = 0;       // [-2, 2]
  double frequency_penalty = 0;      // [-2, 2]
  std::int64_t penalty_window = 64;  // 0: no penalties, -1: the whole text
  double dry_multiplier = 0;         // [0, 100]; 0: no DRY
  double dry_base = 1.75;            // [1, 100]
  std::int64_t dry_allowed = 2;      // longest repetition that costs nothing
  std::int64_t dry_window = -1;      // tokens looked back at; -1: the whole text
  std::shared_ptr<const DryBreakers> dry_breakers = {};  // none: nothing breaks
  bool mirostat = false;
  double mirostat_tau = 5;    // [0, 100] target surprise, bits
  double mirostat_eta = 0.1;  // [0, 1]
  std::uint64_t seed = 0;

  // Throws UsageError naming the first parameter out of its range.
  void validate() const;
};

class TokenSampler {
 public:
  explicit TokenSampler(const SamplingParams& params);

  const SamplingParams& params() const { return params_; }

  // The token that follows `text`, as draw number `n`. Tokens of `text` beyond the logits are
  // ignored. Throws Error for logits that are NaN or +inf, or all -inf: no text can come of them.
  std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> text,
                      std::uint64_t n);
  // The same, and nothing of it is remembered.
  std::int32_t peek(std::span<const float> logits, std::span<const std::int32_t> text,
                    std::uint64_t n);

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };

  static bool better(const Candidate& a, const Candidate& b);
  void penalise(std::span<const std::int32_t> text);
  void penalise_repetitions(std::span<const std::int32_t> text);
  std::int32_t draw_mirostat(std::uint64_t n);
  void keep_top_k();
  void keep_typical();
  void keep_top_p();
  void keep_min_p();
  std::int32_t draw(std::uint64_t n) const;

  SamplingParams params_;
  std::vector<Candidate> candidates_;
  bool sorted_ = false;
  double mirostat_mu_;
};

}  // namespace stepstone
