#include "ops/row_mean/row_mean.h"

#include "ops/row_mean/row_mean_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo row_mean_info;
const OpInfo row_mean_info{
    .name = "row_mean",
    .formula = "y[i, 0] = mean_j x[i, j]",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {n, 4 * n};
    },
};

Var row_mean(Graph& graph, const Var& x) {
  const OpTimer timer(graph.profiler(), row_mean_info.name, Pass::forward);
  const Tensor y = Tensor::empty({x.value().rows(), 1}, DType::f32);
  cpu::row_mean_forward(x.value(), y);
  return graph.record(row_mean_info.name, {x}, y, [](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::row_mean_backward(dy, dx, accumulate);
  });
}

}  // namespace stepstone::ops
