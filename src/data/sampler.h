// Batches for training: rows of T tokens out of one or several datasets.
//
// Every batch is a pure function of (datasets, options, state): the same on any number of threads,
// and the state is a few integers, so that a run goes on exactly where it stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "io/json.h"

namespace stepstone {

// B rows of T tokens, flat: token t of row b is at b T + t.
struct Batch {
  std::vector<std::int32_t> tokens;     // [B T] inputs
  std::vector<std::int32_t> targets;    // [B T] the token to predict there; -1: no loss
  std::vector<std::int32_t> positions;  // [B T] position in its segment, from 0
  // Where segments begin in the flat [B T] stream, ascending from 0, then B T. Attention must not
  // cross a segment's begin. No segment crosses a row.
  std::vector<std::int32_t> segments;
  std::int64_t rows = 0, cols = 0;
  std::int64_t target_tokens = 0;  // targets that are not -1
  // Bytes of text that those targets stand for (0 where no byte table was given): loss in nats
  // times target_tokens, over target_bytes ln 2, is bits per byte.
  std::int64_t target_bytes = 0;
};

enum class SamplingMode : std::uint8_t {
  // Windows of T + 1 tokens at random places of the token stream, as nanoGPT draws them: one
  // segment per row, document borders are tokens like others. The loss mask is obeyed.
  contiguous,
  // Documents shuffled anew each epoch, each cut to pieces of at most T inputs, and the pieces
  // packed into rows without one attending to another. Every predictable token is a target once
  // an epoch. What is left of a row is padding without loss.
  packed,
};

struct SamplerOptions {
  SamplingMode mode = SamplingMode::packed;
  std::int64_t rows = 1, cols = 1;  // B, T
  std::uint64_t seed = 1;
  std::int32_t pad_id = 0;
  // Bytes of text per token id (0 for control tokens), for Batch::target_bytes; may be empty.
  std::vector<std::int32_t> token_bytes;
  // Packed mode: documents that are packed together; more pads less.
  std::int64_t window = 1024;
};

// Where a dataset of the mixture stands.
struct SourceState {
  std::int64_t rows = 0;    // rows taken from it so far
  std::int64_t epoch = 0;   // packed mode: passes that are finished
  std::int64_t window = 0;  // packed mode: the current window of this epoch …
  std::int64_t row = 0;     // … and the next row of it
  friend bool operator==(const SourceState&, const SourceState&) = default;
};

struct SamplerState {
  std::int64_t step = 0;  // batches made so far
  std::vector<SourceState> sources;
  friend bool operator==(const SamplerState&, const SamplerState&) = default;
};

Json to_json(const SamplerState& state);
// Throws FormatError(file, field).
SamplerState sampler_state_from_json(const Json& json, std::string_view file);

struct MixtureEntry {
  Dataset dataset;
  double weight = 1;  // share of the rows, relative to the other entries
};

class Sampler {
 public:
  // Throws UsageError: no dataset, weights that are not positive, a dataset without a single
  // target, or (contiguous mode) with fewer than T + 1 tokens or no token stream.
  Sampler(std::vector<MixtureEntry> mixture, const SamplerOptions& options);
  ~Sampler();
  Sampler(Sampler&&) noexcept;

  void next(Batch& batch);

  const SamplerState& state() const;
  // Goes on from there. Throws UsageError for a state of another mixture or out of range.
  void restore(const SamplerState& state);

  // Passes begun over the dataset of the mixture that is furthest behind, less one (packed mode).
  std::int64_t epoch() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Every token of a dataset, once and in order, for validation. In contiguous mode the stream is
// cut into windows side by side, so that each token but the first is a target exactly once; in
// packed mode documents are packed as in training. The last batch may be padded.
class EvalBatches {
 public:
  EvalBatches(Dataset dataset, const SamplerOptions& options);
  ~EvalBatches();
  EvalBatches(EvalBatches&&) noexcept;

  std::int64_t size() const;
  // The index-th batch; any order.
  void get(std::int64_t index, Batch& batch) const;

 private:
  struct Plan;
  Dataset dataset_;
  SamplerOptions options_;
  std::unique_ptr<const Plan> plan_;
};

}  // namespace stepstone
