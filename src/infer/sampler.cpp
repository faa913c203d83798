#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "core/random.h"

namespace stepstone {
namespace {

void check_range(std::string_view name, double value, double low, double high) {
  require<UsageError>(value >= low && value <= high, "{} must be between {} and {}, not {}", name,
                      low, high, value);
}

void check_logits(std::span<const float> logits) {
  float best = -std::numeric_limits<float>::infinity();
  bool nan = logits.empty();
  for (const float z : logits) {
    nan |= std::isnan(z);
    best = std::max(best, z);
  }
  require(!nan && std::isfinite(best),
          "the model's output is not a number: its weights are damaged, or training diverged");
}

}  // namespace

void SamplingParams::validate() const {
  constexpr auto kLargest = static_cast<double>(std::numeric_limits<std::int32_t>::max());
  check_range("temperature", temperature, 0, 100);
  check_range("top-k", static_cast<double>(top_k), 0, kLargest);
  require<UsageError>(top_p > 0 && top_p <= 1, "top-p must be above 0 and at most 1, not {}",
                      top_p);
  check_range("min-p", min_p, 0, 1);
  require<UsageError>(typical_p > 0 && typical_p <= 1,
                      "typical must be above 0 and at most 1, not {}", typical_p);
  check_range("dry-multiplier", dry_multiplier, 0, 100);
  check_range("dry-base", dry_base, 1, 100);
  check_range("dry-allowed-length", static_cast<double>(dry_allowed), 1, kLargest);
  check_range("dry-penalty-last-n", static_cast<double>(dry_window), -1, kLargest);
  check_range("mirostat-ent", mirostat_tau, 0, 100);
  check_range("mirostat-lr", mirostat_eta, 0, 1);
  check_range("repeat-penalty", repeat_penalty, 0.01, 100);
  check_range("presence-penalty", presence_penalty, -2, 2);
  check_range("frequency-penalty", frequency_penalty, -2, 2);
  check_range("repeat-last-n", static_cast<double>(penalty_window), -1, kLargest);
}

TokenSampler::TokenSampler(const SamplingParams& params)
    : params_(params), mirostat_mu_(2 * params.mirostat_tau) {
  params_.validate();
}

std::int32_t TokenSampler::sample(std::span<const float> logits, std::span<const std::int32_t> text,
                                  std::uint64_t n) {
  check_logits(logits);
  candidates_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates_[i] = {logits[i], static_cast<std::int32_t>(i)};
  }
  sorted_ = false;
  penalise(text);
  penalise_repetitions(text);
  if (params_.temperature == 0) {
    // The first of the highest, so the lowest id among equals.
    return std::max_element(
               candidates_.begin(), candidates_.end(),
               [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; })
        ->id;
  }
  if (params_.mirostat) return draw_mirostat(n);
  keep_top_k();
  keep_typical();
  keep_top_p();
  keep_min_p();
  return draw(n);
}

std::int32_t TokenSampler::peek(std::span<const float> logits, std::span<const std::int32_t> text,
                                std::uint64_t n) {
  const double mu = mirostat_mu_;
  const std::int32_t id = sample(logits, text, n);
  mirostat_mu_ = mu;
  return id;
}

void TokenSampler::penalise(std::span<const std::int32_t> text) {
  const bool none = params_.repeat_penalty == 1 && params_.presence_penalty == 0 &&
                    params_.frequency_penalty == 0;
  if (none || params_.penalty_window == 0) return;
  const auto window = static_cast<std::size_t>(params_.penalty_window);
  if (params_.penalty_window > 0 && text.size() > window) text = text.last(window);
  std::unordered_map<std::int32_t, int> counts;
  for (const std::int32_t id : text) {
    if (id >= 0 && static_cast<std::size_t>(id) < candidates_.size()) ++counts[id];
  }
  for (const auto& [id, count] : counts) {
    float& logit = candidates_[static_cast<std::size_t>(id)].logit;
    const double z = logit;
    const double repeated = z > 0 ? z / params_.repeat_penalty : z * params_.repeat_penalty;
    logit =
        static_cast<float>(repeated - params_.presence_penalty - count * params_.frequency_penalty);
  }
}

void TokenSampler::penalise_repetitions(std::span<const std::int32_t> text) {
  if (params_.dry_multiplier == 0 || params_.dry_window == 0) return;
  const auto window = static_cast<std::size_t>(params_.dry_window);
  if (params_.dry_window > 0 && text.size() > window) text = text.last(window);
  const std::size_t n = text.size();
  const auto back = [&](std::size_t i) { return text[n - 1 - i]; };
  const std::size_t limit = params_.dry_breakers ? params_.dry_breakers->unbroken(text) : n;
  // match[k]: for how many tokens the text that ends k before the end agrees with its end
  // (the Z algorithm on the reversed text).
  std::vector<std::size_t> match(n, 0);
  std::size_t left = 0, right = 0;
  std::unordered_map<std::int32_t, std::size_t> repeated;  // by what came next
  for (std::size_t k = 1; k < n; ++k) {
    if (k < right) match[k] = std::min(right - k, match[k - left]);
    while (k + match[k] < n && back(match[k]) == back(k + match[k])) ++match[k];
    if (k + match[k] > right) {
      left = k;
      right = k + match[k];
    }
    const std::size_t length = std::min(match[k], limit);
    if (length < static_cast<std::size_t>(params_.dry_allowed)) continue;
    std::size_t& longest = repeated[back(k - 1)];
    longest = std::max(longest, length);
  }
  for (const auto& [id, length] : repeated) {
    if (id < 0 || static_cast<std::size_t>(id) >= candidates_.size()) continue;
    const double excess = static_cast<double>(length) - static_cast<double>(params_.dry_allowed);
    // Far beyond any logit already; a larger power could overflow.
    const double penalty =
        params_.dry_multiplier * std::min(1e6, std::pow(params_.dry_base, excess));
    candidates_[static_cast<std::size_t>(id)].logit -= static_cast<float>(penalty);
  }
}

std::int32_t TokenSampler::draw_mirostat(std::uint64_t n) {
  float best = candidates_.front().logit;
  for (const Candidate& c : candidates_) best = std::max(best, c.logit);
  const auto scaled = [&](const Candidate& c) { return (c.logit - best) / params_.temperature; };
  double total = 0;
  for (const Candidate& c : candidates_) total += std::exp(scaled(c));
  const double log_total = std::log(total);
  const auto surprise = [&](const Candidate& c) {
    return (log_total - scaled(c)) / std::numbers::ln2;
  };
  // The best one stays, whatever mu says.
  std::erase_if(candidates_,
                [&](const Candidate& c) { return c.logit < best && surprise(c) > mirostat_mu_; });
  const std::int32_t id = draw(n);
  const auto drawn = std::ranges::find(candidates_, id, &Candidate::id);
  double kept = 0;
  for (const Candidate& c : candidates_) kept += std::exp(scaled(c));
  const double observed = (std::log(kept) - scaled(*drawn)) / std::numbers::ln2;
  mirostat_mu_ -= params_.mirostat_eta * (observed - params_.mirostat_tau);
  return id;
}

void TokenSampler::keep_typical() {
  if (params_.typical_p >= 1) return;
  double best = candidates_.front().logit;
  for (const Candidate& c : candidates_) best = std::max(best, static_cast<double>(c.logit));
  double total = 0, moment = 0;
  for (const Candidate& c : candidates_) {
    const double z = c.logit - best, w = std::exp(z);
    total += w;
    if (w > 0) moment += w * z;
  }
  const double mean = moment / total;  // of z: the entropy is log(total) - mean
  const auto unusual = [&](const Candidate& c) { return std::abs(c.logit - best - mean); };
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const double x = unusual(a), y = unusual(b);
    return x != y ? x < y : a.id < b.id;
  });
  double reached = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && reached < params_.typical_p * total) {
    reached += std::exp(candidates_[kept++].logit - best);
  }
  candidates_.resize(kept);
  sorted_ = false;
  if (params_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), better);
    sorted_ = true;
  }
}

void TokenSampler::keep_top_k() {
  const auto k = static_cast<std::size_t>(params_.top_k);
  if (k > 0 && k < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + params_.top_k, candidates_.end(),
                      better);
    candidates_.resize(k);
    sorted_ = true;
  } else if (params_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), better);
    sorted_ = true;
  }
}

void TokenSampler::keep_top_p() {
  if (params_.top_p >= 1) return;
  const double best = candidates_.front().logit;
  double total = 0;
  for (const Candidate& c : candidates_) total += std::exp(c.logit - best);
  double reached = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && reached < params_.top_p * total) {
    reached += std::exp(candidates_[kept++].logit - best);
  }
  candidates_.resize(kept);
}

void TokenSampler::keep_min_p() {
  if (params_.min_p <= 0) return;
  float best = candidates_.front().logit;
  if (!sorted_) {
    for (const Candidate& c : candidates_) best = std::max(best, c.logit);
  }
  const double lowest = best + std::log(params_.min_p);
  std::erase_if(candidates_, [lowest](const Candidate& c) { return c.logit < lowest; });
}

bool TokenSampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

std::int32_t TokenSampler::draw(std::uint64_t n) const {
  double best = -std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) best = std::max(best, static_cast<double>(c.logit));
  const auto weight = [&](const Candidate& c) {
    return std::exp((c.logit - best) / params_.temperature);
  };
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c);
  const auto bits =
      philox({static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32), 0x73616d70, 0},
             params_.seed);
  const std::uint64_t random = (std::uint64_t{bits[0]} << 32 | bits[1]) >> 11;
  double left = static_cast<double>(random) * 0x1p-53 * total;
  std::int32_t last = candidates_.front().id;
  for (const Candidate& c : candidates_) {
    const double w = weight(c);
    if (w > 0) last = c.id;  // rounding may leave a rest behind the last one
    left -= w;
    if (left < 0) break;
  }
  return last;
}

}  // namespace stepstone
