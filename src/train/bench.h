// Speed of a training step, for `stepstone bench train`.
#pragma once

#include "models/transformer/config.h"
#include "optim/optimizer.h"

namespace stepstone {

struct TrainBenchOptions {
  std::int64_t rows = 4, context = 256;
  int steps = 5;  // timed, after one that is not
  DType compute = DType::f32;
  OptimizerConfig optim;
  Profiler* profiler = nullptr;
};

struct TrainBenchResult {
  double tokens_per_second = 0;  // of the median step
  double share_of_peak = 0;      // of the machine's own GEMM rate
  double seconds_per_step = 0;
  std::int64_t parameters = 0;
  std::size_t peak_bytes = 0;  // of tensors
  double first_loss = 0, last_loss = 0;
};

// Full steps (forward, backward, update) on random tokens. Throws Error when the loss does not
// fall: a fast wrong step is no result.
TrainBenchResult bench_train(const TransformerConfig& config, const TrainBenchOptions& options);

// GPT-2 small: 124,439,808 parameters.
TransformerConfig gpt2_124m();

}  // namespace stepstone
