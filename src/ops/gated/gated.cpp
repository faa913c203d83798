#include "ops/gated/gated.h"

#include "ops/gated/gated_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"gate_up"};
enum : int { kGateUp };
}  // namespace

extern const OpInfo gated_info;
const OpInfo gated_info{
    .name = "gated",
    .formula = "y = f(gate) * up, x = [gate | up]",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kGateUp].numel()) / 2;
      return {11 * n, 12 * n};
    },
    .composite = "mul(activation(columns(x, 0, F)), columns(x, F, 2F))",
};

Var gated(Graph& graph, const Var& gate_up, Activation kind) {
  const Tensor& x = gate_up.value();
  require<UsageError>(x.cols() % 2 == 0,
                      "gated: expected an even number of columns, gate | up, got {}",
                      to_string(x.shape()));
  const OpTimer timer(graph.profiler(), gated_info.name, Pass::forward);
  Tensor y = Tensor::empty({x.rows(), x.cols() / 2}, x.dtype());
  cpu::gated_forward(x, kind, y);
  return graph.record(gated_info.name, {gate_up}, y, [x, kind](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kGateUp)) return;
    const auto [dx, accumulate] = grads.into(kGateUp);
    cpu::gated_backward(x, kind, dy, dx, accumulate);
  });
}

}  // namespace stepstone::ops
