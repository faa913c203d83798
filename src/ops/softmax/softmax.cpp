#include "ops/softmax/softmax.h"

#include "ops/softmax/softmax_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo softmax_info;
const OpInfo softmax_info{
    .name = "softmax",
    .formula = "y[i, j] = exp(x[i, j]) / sum_k exp(x[i, k])",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {5 * n, 8 * n};
    },
};

Var softmax(Graph& graph, const Var& x) {
  const OpTimer timer(graph.profiler(), softmax_info.name, Pass::forward);
  const Tensor y = Tensor::empty(x.shape(), x.value().dtype());
  cpu::softmax_forward(x.value(), y);
  return graph.record(softmax_info.name, {x}, y, [y](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::softmax_backward(y, dy, dx, accumulate);
  });
}

}  // namespace stepstone::ops
