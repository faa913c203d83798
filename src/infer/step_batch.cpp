#include "infer/step_batch.h"

#include <algorithm>

#include "core/threads.h"

namespace stepstone {

bool StepBatch::holds(const EngineSequence& sequence) const {
  return std::ranges::any_of(parts, [&](const Part& p) { return p.sequence == &sequence; });
}

void StepBatch::add(EngineSequence& s, std::int64_t count) {
  const std::int64_t past = s.cache->length();
  const auto begin = std::ssize(tokens);
  const auto piece =
      s.text().subspan(static_cast<std::size_t>(past), static_cast<std::size_t>(count));
  tokens.insert(tokens.end(), piece.begin(), piece.end());
  tokens.insert(tokens.end(), s.draft.tokens.begin(), s.draft.tokens.begin() + s.draft.sent);
  const auto first_state = std::ssize(rows);
  for (std::int64_t row = begin; row < std::ssize(tokens); ++row) {
    const std::int64_t position = past + row - begin;
    const bool logits = s.wants_logits(position);
    if (logits) logit_rows_.push_back({parts.size(), std::ssize(rows), position});
    if (logits || s.request().embed) rows.push_back(row);
  }
  segments.push_back(static_cast<std::int32_t>(tokens.size()));
  caches.push_back(&*s.cache);
  parts.push_back({&s, past, begin, std::ssize(tokens), first_state, std::ssize(rows)});
}

Tensor StepBatch::gather_logit_states(const Tensor& states) const {
  if (std::ssize(logit_rows_) == states.dim(0)) return states;
  std::vector<std::int64_t> chosen;
  for (const LogitRow& r : logit_rows_) chosen.push_back(r.state);
  return gather_rows(states, chosen);
}

void StepBatch::use_logits(const Tensor& logits) {
  parallel_for(std::ssize(parts), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) {
      Part& part = parts[static_cast<std::size_t>(p)];
      try {
        use_logits_of(static_cast<std::size_t>(p), logits);
      } catch (const UsageError& e) {
        part.fail(FinishReason::refused, e.what());
      } catch (const std::exception& e) {
        part.fail(FinishReason::error, e.what());
      }
    }
  });
}

void StepBatch::use_logits_of(std::size_t part, const Tensor& logits) {
  EngineSequence& s = *parts[part].sequence;
  const auto rows = std::ranges::equal_range(logit_rows_, part, {}, &LogitRow::part);
  for (const LogitRow& r : rows) {
    const std::int64_t at = &r - logit_rows_.data();
    const auto row = logits.slice(at, at + 1).span<float>();
    if (r.position + 1 == s.length()) {
      if (!s.draw(row)) return;
    } else {
      s.score_prompt(r.position, row);
    }
  }
}

}  // namespace stepstone
