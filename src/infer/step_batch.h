// What one step of a scheduler computes.
#pragma once

#include <string>
#include <vector>

#include "infer/engine_sequence.h"

namespace stepstone {

class StepBatch {
 public:
  struct Part {
    EngineSequence* sequence;
    std::int64_t past, begin, end;         // positions cached before; rows of the batch
    std::int64_t first_state, last_state;  // its hidden states among those of `rows`
    std::int64_t drawn = 0;                // tokens before the step
    FinishReason failure = FinishReason::none;
    std::string error = {};

    void fail(FinishReason reason, std::string why) {
      failure = reason;
      error = std::move(why);
    }
  };

  bool holds(const EngineSequence& sequence) const;
  // The next `count` tokens of a sequence, then those of its draft that are to be sent; its cache
  // has room for them.
  void add(EngineSequence& sequence, std::int64_t count);

  bool wants_logits() const { return !logit_rows_.empty(); }
  // Those of the hidden states [rows, hidden] whose logits are needed.
  Tensor gather_logit_states(const Tensor& states) const;
  // Draws and scores from their logits, the sequences side by side.
  void use_logits(const Tensor& logits);

  std::vector<Part> parts;
  std::vector<std::int32_t> tokens, segments = {0};
  std::vector<std::int64_t> rows;  // whose hidden states are needed, rising
  std::vector<KvCache*> caches;

 private:
  struct LogitRow {
    std::size_t part;
    std::int64_t state, position;  // its place among `rows`
  };
  void use_logits_of(std::size_t part, const Tensor& logits);

  std::vector<LogitRow> logit_rows_;  // by part
};

}  // namespace stepstone
