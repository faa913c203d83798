// The training loop: batches in, updates out; what it meets on the way it reports and saves.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/sampler.h"
#include "models/transformer/transformer.h"
#include "optim/ema.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/guard.h"
#include "train/run_log.h"

namespace stepstone {

// From this share of the steps on, every step takes `factor` times the batches.
struct BatchGrowth {
  double from;
  int factor;
};

struct TrainOptions {
  Schedule schedule;         // holds the number of steps
  std::int64_t context = 0;  // tokens per row, for the share of peak
  int accumulate = 1;        // batches per step
  std::vector<BatchGrowth> batch_growth;
  std::int64_t log_every = 10;
  std::int64_t eval_every = 100;  // 0: only at the end
  std::int64_t save_every = 0;    // 0: after every save_seconds instead
  double save_seconds = 600;      // 0: only when stopped
  std::int64_t sample_every = 0;  // 0: never
  int keep_checkpoints = 2;
  std::uint64_t seed = 0;
  DType compute = DType::f32;
  bool checkpoint_blocks = false;
  float z_loss = 0;
  double ema = 0;          // decay; 0: off
  double max_seconds = 0;  // of training: after a few timed steps, the number of steps is set so
                           // that they fit (never above schedule.steps); 0: no limit. A resumed
                           // run keeps that number
  LossGuard::Options guard;
  Profiler* profiler = nullptr;
};

struct Evaluation {
  double loss = 0;  // nats per target token
  // Of the targets' text; nothing where that has no bytes, or they are unknown: 0 would be the best
  // of all scores.
  std::optional<double> bits_per_byte;
  std::int64_t tokens = 0;
};

struct TrainCallbacks {
  std::function<Evaluation()> evaluate;
  std::function<std::string()> sample;  // text from the model as it is now; may be empty
};

struct TrainOutcome {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  double seconds = 0;  // of training alone
  double loss = 0;
  Evaluation validation;
  int signal = 0;  // of the stop signal, when one ended the run early
};

// Trains until the schedule ends or a stop signal comes, going on from the newest checkpoint
// below `run` when `resume` is set. A stopped run saves a checkpoint; a finished one leaves the
// averaged weights in the model when an EMA is kept.
TrainOutcome train(Transformer& model, Optimizer& optimizer, Sampler& data,
                   const TrainOptions& options, const TrainCallbacks& callbacks, RunLog& log,
                   const std::filesystem::path& run, bool resume);

// `loss` nats over `bytes` of text, in bits per byte; nothing where there are none.
std::optional<double> bits_per_byte(double loss, std::int64_t bytes);

// Loss of the model over all of `batches`, nothing dropped out.
Evaluation evaluate(const Transformer& model, const EvalBatches& batches, DType compute);

}  // namespace stepstone
