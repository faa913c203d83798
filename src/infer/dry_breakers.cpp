#include "infer/dry_breakers.h"

#include <algorithm>

#include "core/error.h"

namespace stepstone {

DryBreakers::DryBreakers(Tokenizer tokenizer, std::vector<std::string> texts)
    : tokenizer_(std::move(tokenizer)), texts_(std::move(texts)) {
  require<UsageError>(texts_.size() <= kMaxTexts, "more than {} sequence breakers", kMaxTexts);
  for (const std::string& text : texts_) {
    require<UsageError>(!text.empty() && text.size() <= kMaxBytes,
                        "a sequence breaker has 1 to {} bytes, not {}", kMaxBytes, text.size());
    longest_ = std::max(longest_, text.size());
  }
}

std::size_t DryBreakers::unbroken(std::span<const std::int32_t> text) const {
  if (texts_.empty()) return text.size();
  const auto back = [&](std::size_t i) { return text[text.size() - 1 - i]; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (tokenizer_.is_special(back(i))) return i;
    const std::size_t own = tokenizer_.token_bytes(back(i)).size();
    if (own == 0) continue;
    std::string window;  // the token, and before it all that a breaker which ends in it may hold
    for (std::size_t k = i; k < text.size() && window.size() < own + longest_ - 1; ++k) {
      if (tokenizer_.is_special(back(k))) break;
      window.insert(0, tokenizer_.token_bytes(back(k)));
    }
    const std::size_t before = window.size() - own;
    for (const std::string& breaker : texts_) {
      const std::size_t first = before - std::min(before, breaker.size() - 1);
      if (window.find(breaker, first) != std::string::npos) return i;
    }
  }
  return text.size();
}

}  // namespace stepstone
