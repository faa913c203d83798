#include "optim/orthogonalize.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "backend/cpu/gemm.h"
#include "core/error.h"
#include "optim/adamw_cpu.h"

namespace stepstone {
namespace {

struct Coefficients {
  float a, b, c;
};
// Minimax for singular values in [0.001, 1], computed by the paper's algorithm with 5 steps,
// safety factor 1.02 and cushion 0.02.
constexpr Coefficients kPolarExpress[] = {
    {8.156554524902461f, -22.48329292557795f, 15.878769915207462f},
    {4.042929935166739f, -2.808917465908714f, 0.5000178451051316f},
    {3.8916678022926607f, -2.772484153217685f, 0.5060648178503393f},
    {3.285753657755655f, -2.3681294933425376f, 0.46449024233003106f},
    {2.3465413258596377f, -1.7097828382687081f, 0.42323551169305323f},
};
constexpr float kSafety = 1.02f;

}  // namespace

void orthogonalize(float* x, std::int64_t rows, std::int64_t cols, int iterations, DType compute,
                   OrthogonalizeWorkspace& workspace) {
  const std::int64_t size = rows * cols;
  const auto shrink =
      static_cast<float>(1 / (std::sqrt(cpu::sum_of_squares(size, x)) * kSafety + 1e-7));
  for (std::int64_t i = 0; i < size; ++i) x[i] *= shrink;

  const bool tall = rows > cols;
  const std::int64_t n = std::min(rows, cols), m = std::max(rows, cols);
  const auto mode = compute == DType::bf16 ? cpu::Compute::bf16 : cpu::Compute::f32;
  const auto nn = static_cast<std::size_t>(n * n);
  workspace.gram.resize(nn);
  workspace.poly.resize(nn);
  workspace.next.resize(static_cast<std::size_t>(size));
  float* gram = workspace.gram.data();
  float* poly = workspace.poly.data();
  float* next = workspace.next.data();
  const auto full = [&](const float* p, bool transposed) {
    return cpu::MatrixRef{p, DType::f32, cols, transposed};
  };
  const auto square = [&](const float* p) { return cpu::MatrixRef{p, DType::f32, n, false}; };

  require<UsageError>(iterations >= 1 && iterations <= 5,
                      "muon: expected 1 to 5 iterations, got {}", iterations);
  for (const auto [a, b, c] :
       std::span(kPolarExpress).first(static_cast<std::size_t>(iterations))) {
    // gram = X Xᵀ (wide) or Xᵀ X (tall): n × n either way.
    cpu::gemm({.m = n,
               .n = n,
               .k = m,
               .a = full(x, tall),
               .b = full(x, !tall),
               .c = gram,
               .ldc = n,
               .compute = mode});
    cpu::gemm({.m = n,
               .n = n,
               .k = n,
               .a = square(gram),
               .b = square(gram),
               .c = poly,
               .ldc = n,
               .compute = mode});
    for (std::size_t i = 0; i < nn; ++i) poly[i] = b * gram[i] + c * poly[i];
    for (std::int64_t i = 0; i < n; ++i) poly[i * n + i] += a;
    cpu::gemm({.m = rows,
               .n = cols,
               .k = n,
               .a = tall ? full(x, false) : square(poly),
               .b = tall ? square(poly) : full(x, false),
               .c = next,
               .ldc = cols,
               .compute = mode});
    std::copy(next, next + size, x);
  }
}

}  // namespace stepstone
