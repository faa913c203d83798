#include "backend/cpu/gemm_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/error.h"
#include "core/random.h"

namespace stepstone::cpu {
namespace {

struct Layer {
  const char* name;
  std::int64_t in, out;
};

constexpr Layer kGpt2Layers[] = {
    {"qkv", 768, 2304}, {"proj", 768, 768},  {"fc", 768, 3072},
    {"fc2", 3072, 768}, {"head", 768, 8192},
};

std::shared_ptr<Storage> random_elements(std::int64_t count, DType dtype, std::uint64_t seed) {
  Random random(seed);
  auto storage = allocate(count * size_of(dtype));
  auto* floats = static_cast<float*>(storage->data());
  auto* halves = static_cast<bf16*>(storage->data());
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = random.uniform() - 0.5f;
    if (dtype == DType::bf16) {
      halves[i] = bf16(value);
    } else {
      floats[i] = value;
    }
  }
  return storage;
}

}  // namespace

std::vector<GemmShape> gpt2_gemm_shapes(std::int64_t tokens) {
  std::vector<GemmShape> shapes;
  for (const Layer& layer : kGpt2Layers) {
    const std::string name = layer.name;
    shapes.push_back({name + " forward", tokens, layer.out, layer.in, false, true, false});
    shapes.push_back({name + " dgrad", tokens, layer.in, layer.out, false, false, false});
    shapes.push_back({name + " wgrad", layer.out, layer.in, tokens, true, false, true});
  }
  return shapes;
}

GemmProblem::GemmProblem(const GemmShape& shape, Compute compute)
    : shape_(shape), compute_(compute) {
  const GemmArgs types = args();
  a_ = random_elements(shape.m * shape.k, types.a.dtype, 1);
  b_ = random_elements(shape.k * shape.n, types.b.dtype, 2);
  const std::size_t bytes = shape.m * shape.n * size_of(types.c_dtype);
  c_ = allocate(bytes);
  std::memset(c_->data(), 0, bytes);
}

GemmArgs GemmProblem::args() {
  const DType dtype = compute_ == Compute::bf16 ? DType::bf16 : DType::f32;
  GemmArgs args;
  args.m = shape_.m;
  args.n = shape_.n;
  args.k = shape_.k;
  args.a = {a_ ? a_->data() : nullptr, dtype, shape_.a_transposed ? shape_.m : shape_.k,
            shape_.a_transposed};
  args.b = {b_ ? b_->data() : nullptr, dtype, shape_.b_transposed ? shape_.k : shape_.n,
            shape_.b_transposed};
  args.c = c_ ? c_->data() : nullptr;
  args.c_dtype = shape_.accumulate ? DType::f32 : dtype;
  args.ldc = shape_.n;
  args.accumulate = shape_.accumulate;
  args.compute = compute_;
  return args;
}

std::vector<GemmBenchRow> bench_gemm(const GemmBenchOptions& options) {
  require<UsageError>(options.repetitions >= 1 && options.tokens >= 1,
                      "bench gemm: repetitions and tokens must be at least 1");
  std::vector<GemmBenchRow> rows;
  for (const Compute compute : options.computes) {
    for (const GemmShape& shape : gpt2_gemm_shapes(options.tokens)) {
      GemmProblem problem(shape, compute);
      const GemmArgs args = problem.args();
      gemm(args);
      std::vector<double> seconds;
      for (int i = 0; i < options.repetitions; ++i) {
        const auto start = std::chrono::steady_clock::now();
        gemm(args);
        seconds.push_back(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
      rows.push_back({shape, compute, shape.flops() / seconds[seconds.size() / 2] * 1e-9});
    }
  }
  return rows;
}

}  // namespace stepstone::cpu
