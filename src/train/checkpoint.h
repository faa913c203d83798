// Checkpoints: <run>/checkpoints/step-00000100/ with the f32 weights, the optimiser's state and
// state.json (everything else that decides the future of a run). Each appears whole or not at all
// and carries a manifest with hashes.
#pragma once

#include <filesystem>
#include <optional>

#include "io/json.h"
#include "models/transformer/transformer.h"
#include "optim/ema.h"
#include "optim/optimizer.h"

namespace stepstone {

// Writes the checkpoint of `step`, then removes the oldest beyond `keep` (at least 1 stays).
void save_checkpoint(const std::filesystem::path& run, std::int64_t step, const Transformer& model,
                     const Optimizer& optimizer, const Json& state, int keep,
                     const Ema* ema = nullptr);

struct LoadedCheckpoint {
  std::int64_t step;
  Json state;
};

// Loads the newest checkpoint that is undamaged; a damaged one is reported on standard error and
// the one before is taken. Nothing when there is none.
std::optional<LoadedCheckpoint> load_checkpoint(const std::filesystem::path& run,
                                                Transformer& model, Optimizer& optimizer,
                                                Ema* ema = nullptr);

// Steps of the checkpoints that are there, rising.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& run);

}  // namespace stepstone
