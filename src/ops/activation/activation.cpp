#include "ops/activation/activation.h"

#include "ops/activation/activation_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo activation_info;
const OpInfo activation_info{
    .name = "activation",
    .formula = "y = f(x), f one of silu, gelu_erf, gelu_tanh, relu, relu2, tanh",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {10 * n, 8 * n};
    },
};

Var activation(Graph& graph, const Var& x, Activation kind) {
  const OpTimer timer(graph.profiler(), activation_info.name, Pass::forward);
  Tensor y = Tensor::empty(x.shape(), x.value().dtype());
  cpu::activation_forward(x.value(), kind, y);
  return graph.record(activation_info.name, {x}, y,
                      [x = x.value(), kind](const Tensor& dy, Grads& grads) {
                        if (!grads.needed(kX)) return;
                        const auto [dx, accumulate] = grads.into(kX);
                        cpu::activation_backward(x, kind, dy, dx, accumulate);
                      });
}

}  // namespace stepstone::ops
