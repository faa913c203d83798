// Speed of gemm() on the products of a GPT-2 124M training step. `stepstone bench gemm` prints it;
// bench/gemm_anchor.cpp runs the same problems through other libraries.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/gemm.h"
#include "core/storage.h"

namespace stepstone::cpu {

struct GemmShape {
  std::string name;  // layer and pass, e.g. "qkv forward"
  std::int64_t m = 0, n = 0, k = 0;
  bool a_transposed = false, b_transposed = false, accumulate = false;

  double flops() const { return 2.0 * static_cast<double>(m) * n * k; }
};

// Forward x·Wᵀ, input gradient dy·W and weight gradient dW += dyᵀ·x of every linear layer of GPT-2
// 124M for `tokens` tokens. The head is one chunk of 8,192 of the vocabulary's 50,257.
std::vector<GemmShape> gpt2_gemm_shapes(std::int64_t tokens = 1024);

// A shape with operands of random numbers. f32: all f32. bf16: A and B bf16, C bf16 unless it
// accumulates (weight gradients are f32). Memory is what tensors get: huge pages where there are
// any.
class GemmProblem {
 public:
  GemmProblem(const GemmShape& shape, Compute compute);
  GemmArgs args();

 private:
  GemmShape shape_;
  Compute compute_;
  std::shared_ptr<Storage> a_, b_, c_;
};

struct GemmBenchRow {
  GemmShape shape;
  Compute compute;
  double gflops;  // median over the repetitions
};

struct GemmBenchOptions {
  std::int64_t tokens = 1024;
  int repetitions = 7;
  std::vector<Compute> computes = {Compute::f32, Compute::bf16};
};

std::vector<GemmBenchRow> bench_gemm(const GemmBenchOptions& options = {});

}  // namespace stepstone::cpu
