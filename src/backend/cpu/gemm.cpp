#include "backend/cpu/gemm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/threads.h"

namespace stepstone::cpu {

struct PackedAccess {
  static const float* panels(const PackedMatrix& b) {
    return reinterpret_cast<const float*>(b.panels_.get());
  }
};

namespace {

constexpr std::int64_t kBlockK = 512;

float element(const MatrixRef& x, std::int64_t i, std::int64_t j, Compute compute) {
  const std::int64_t at = x.transposed ? j * x.ld + i : i * x.ld + j;
  if (x.dtype == DType::bf16) return static_cast<float>(static_cast<const bf16*>(x.data)[at]);
  const float value = static_cast<const float*>(x.data)[at];
  return compute == Compute::bf16 ? static_cast<float>(bf16(value)) : value;
}

void check_matrix(const char* name, const MatrixRef& x, std::int64_t rows, std::int64_t cols) {
  require<UsageError>(x.dtype == DType::f32 || x.dtype == DType::bf16,
                      "gemm: {}: expected f32 or bf16, got {}", name, name_of(x.dtype));
  if (rows == 0 || cols == 0) return;
  require<UsageError>(x.data != nullptr, "gemm: {}: null", name);
  require<UsageError>(x.ld >= (x.transposed ? rows : cols), "gemm: {}: ld {} below the width {}",
                      name, x.ld, x.transposed ? rows : cols);
}

void check(const GemmArgs& args) {
  require<UsageError>(args.m >= 0 && args.n >= 0 && args.k >= 0, "gemm: negative size {}x{}x{}",
                      args.m, args.n, args.k);
  check_matrix("a", args.a, args.m, args.k);
  check_matrix("c", {args.c, args.c_dtype, args.ldc}, args.m, args.n);
}

void store(const GemmArgs& args, std::int64_t row, const float* sum) {
  for (std::int64_t j = 0; j < args.n; ++j) {
    const std::int64_t at = row * args.ldc + j;
    const float value = args.bias != nullptr ? sum[j] + args.bias[j] : sum[j];
    if (args.c_dtype == DType::bf16) {
      static_cast<bf16*>(args.c)[at] = bf16(value);
    } else {
      static_cast<float*>(args.c)[at] = value;
    }
  }
}

void one_row(const GemmArgs& args, const float* panels, std::int64_t row) {
  std::vector<float> sum(args.n), block(args.n);
  if (args.accumulate) {
    for (std::int64_t j = 0; j < args.n; ++j) {
      sum[j] = element({args.c, args.c_dtype, args.ldc}, row, j, Compute::f32);
    }
  }
  for (std::int64_t k0 = 0; k0 < args.k; k0 += kBlockK) {
    std::fill(block.begin(), block.end(), 0.0f);
    for (std::int64_t k = k0; k < std::min(args.k, k0 + kBlockK); ++k) {
      const float a = element(args.a, row, k, args.compute);
      const float* b = panels + k * args.n;
      for (std::int64_t j = 0; j < args.n; ++j) block[j] = std::fma(a, b[j], block[j]);
    }
    for (std::int64_t j = 0; j < args.n; ++j) {
      sum[j] = k0 == 0 && !args.accumulate ? block[j] : sum[j] + block[j];
    }
  }
  store(args, row, sum.data());
}

}  // namespace

PackedMatrix pack_b(const MatrixRef& b, std::int64_t k, std::int64_t n, Compute compute) {
  require<UsageError>(k >= 0 && n >= 0, "pack_b: negative size {}x{}", k, n);
  check_matrix("b", b, k, n);
  auto panels = std::make_shared<std::byte[]>(k * n * sizeof(float));
  auto* to = reinterpret_cast<float*>(panels.get());
  parallel_for(k, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t j = 0; j < n; ++j) to[i * n + j] = element(b, i, j, compute);
    }
  });
  PackedMatrix packed;
  packed.k_ = k;
  packed.n_ = n;
  packed.compute_ = compute;
  packed.bytes_ = k * n * sizeof(float);
  packed.panels_ = std::move(panels);
  return packed;
}

void gemm(const GemmArgs& args) {
  check(args);
  gemm(args, pack_b(args.b, args.k, args.n, args.compute));
}

void gemm(const GemmArgs& args, const PackedMatrix& b) {
  check(args);
  require<UsageError>(b.k() == args.k && b.n() == args.n && b.compute() == args.compute,
                      "gemm: B was packed as {}x{}, the product needs {}x{}", b.k(), b.n(), args.k,
                      args.n);
  const float* panels = PackedAccess::panels(b);
  parallel_for(args.m, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) one_row(args, panels, i);
  });
}

}  // namespace stepstone::cpu
