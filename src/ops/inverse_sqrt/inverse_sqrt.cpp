#include "ops/inverse_sqrt/inverse_sqrt.h"

#include "ops/inverse_sqrt/inverse_sqrt_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo inverse_sqrt_info;
const OpInfo inverse_sqrt_info{
    .name = "inverse_sqrt",
    .formula = "y = 1 / sqrt(x + eps)",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {3 * n, 8 * n};
    },
};

Var inverse_sqrt(Graph& graph, const Var& x, float eps) {
  const OpTimer timer(graph.profiler(), inverse_sqrt_info.name, Pass::forward);
  const Tensor y = Tensor::empty(x.shape(), DType::f32);
  cpu::inverse_sqrt_forward(x.value(), eps, y);
  return graph.record(inverse_sqrt_info.name, {x}, y, [y](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::inverse_sqrt_backward(y, dy, dx, accumulate);
  });
}

}  // namespace stepstone::ops
