// `stepstone train`: a recipe and data in, an artefact out.
#pragma once

#include <filesystem>
#include <functional>

#include "tokenizer/tokenizer.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace stepstone {

// Text from a model as it is, for samples during training.
using SampleFn = std::function<std::string(const Transformer&, const Tokenizer&, DType compute)>;

struct PretrainRequest {
  Recipe recipe;
  std::filesystem::path out;
  bool resume = false;
  bool quiet = false;
  SampleFn sample;  // may be empty
  Profiler* profiler = nullptr;
};

// Leaves the artefact in `out`, checkpoints below it. A run stopped by a signal has no artefact
// yet, only a checkpoint.
TrainOutcome pretrain(const PretrainRequest& request);

}  // namespace stepstone
