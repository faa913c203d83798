#include "ops/linear/linear.h"

#include "backend/cpu/gemm.h"
#include "ops/linear/bias_gradient_cpu.h"

namespace stepstone::ops {
namespace {

constexpr std::string_view kInputs[] = {"x", "weight", "bias"};
enum : int { kX, kWeight, kBias };

cpu::MatrixRef matrix(const Tensor& t, bool transposed = false) {
  return {t.raw(), t.dtype(), t.cols(), transposed};
}

}  // namespace

extern const OpInfo linear_info;
const OpInfo linear_info{
    .name = "linear",
    .formula = "y = x W^T + b",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const double rows = static_cast<double>(in[kX].numel() / in[kX].dim(-1));
      const auto k = static_cast<double>(in[kX].dim(-1));
      const auto n = static_cast<double>(in[kWeight].dim(0));
      return {2 * rows * k * n, 4 * (rows * k + n * k + rows * n)};
    },
};

Var linear(Graph& graph, const Var& x, const Var& weight, const Var& bias) {
  const std::int64_t k = x.value().cols();
  require<UsageError>(weight.shape().rank() == 2 && weight.shape().dim(1) == k,
                      "linear: expected a weight of [out, {}], got {}", k,
                      to_string(weight.shape()));
  const std::int64_t rows = x.value().rows(), n = weight.shape().dim(0);
  require<UsageError>(!bias.defined() || bias.shape() == Shape{n},
                      "linear: expected a bias of [{}]", n);
  const OpTimer timer(graph.profiler(), linear_info.name, Pass::forward);
  const auto compute = graph.compute() == DType::bf16 ? cpu::Compute::bf16 : cpu::Compute::f32;
  const Tensor& w = weight.value();
  Tensor y = Tensor::empty({rows, n}, graph.compute());
  cpu::gemm({.m = rows,
             .n = n,
             .k = k,
             .a = matrix(x.value()),
             .b = matrix(w, true),
             .c = y.raw(),
             .c_dtype = y.dtype(),
             .ldc = n,
             .bias = bias.defined() ? bias.value().data<float>() : nullptr,
             .compute = compute});
  if (graph.profiler()) {
    const double flops = 2.0 * static_cast<double>(rows * n * k);
    graph.profiler()->add_flops(linear_info.name, Pass::forward, flops);
    graph.profiler()->add_flops(linear_info.name, Pass::backward, 2 * flops);
  }
  return graph.record(linear_info.name, {x, weight, bias}, y,
                      [x = x.value(), w, rows, n, k, compute](const Tensor& dy, Grads& grads) {
                        if (grads.needed(kX)) {
                          const auto [dx, accumulate] = grads.into(kX);
                          cpu::gemm({.m = rows,
                                     .n = k,
                                     .k = n,
                                     .a = matrix(dy),
                                     .b = matrix(w),
                                     .c = dx.raw(),
                                     .c_dtype = dx.dtype(),
                                     .ldc = k,
                                     .accumulate = accumulate,
                                     .compute = compute});
                        }
                        if (grads.needed(kWeight)) {
                          const auto [dw, accumulate] = grads.into(kWeight);
                          cpu::gemm({.m = n,
                                     .n = k,
                                     .k = rows,
                                     .a = matrix(dy, true),
                                     .b = matrix(x),
                                     .c = dw.raw(),
                                     .c_dtype = dw.dtype(),
                                     .ldc = k,
                                     .accumulate = accumulate,
                                     .compute = compute});
                        }
                        if (grads.needed(kBias)) {
                          const auto [db, accumulate] = grads.into(kBias);
                          cpu::bias_gradient(dy, db, accumulate);
                        }
                      });
}

Var linear(Graph& graph, const Var& x, const cpu::PackedMatrix& weight, const Var& bias) {
  require<UsageError>(x.value().cols() == weight.k(), "linear: expected x of [.., {}], got {}",
                      weight.k(), to_string(x.shape()));
  const OpTimer timer(graph.profiler(), linear_info.name, Pass::forward);
  const std::int64_t rows = x.value().rows();
  Tensor y = Tensor::empty({rows, weight.n()}, graph.compute());
  cpu::gemm({.m = rows,
             .n = weight.n(),
             .k = weight.k(),
             .a = matrix(x.value()),
             .b = {},
             .c = y.raw(),
             .c_dtype = y.dtype(),
             .ldc = weight.n(),
             .bias = bias.defined() ? bias.value().data<float>() : nullptr,
             .compute = weight.compute()},
            weight);
  return Var(y);
}

}  // namespace stepstone::ops
