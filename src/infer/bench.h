// Speed of a model at inference, for `stepstone bench infer`.
#pragma once

#include <string>
#include <vector>

#include "models/transformer/transformer.h"

namespace stepstone {

struct InferBenchOptions {
  std::int64_t prompt = 512;                  // tokens read at once; 0: none
  std::int64_t generate = 64;                 // tokens written one by one; 0: none
  std::int64_t depth = 0;                     // tokens of the context before either
  std::vector<std::int64_t> sequences = {1};  // so many texts written together
  int repetitions = 3;                        // the median counts
  DType compute = DType::f32;
  CacheTypes cache = {};
  Profiler* profiler = nullptr;
};

struct InferBenchRow {
  std::string name;  // as llama-bench has it: pp512, tg64 @ d2048; "tg64 x16" for 16 sequences
  std::int64_t tokens = 0;
  double seconds = 0;
  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
};

// Random tokens through a packed model, without sampling. Throws UsageError where the model's
// context is too short.
std::vector<InferBenchRow> bench_infer(const Transformer& model, const InferBenchOptions& options);

}  // namespace stepstone
