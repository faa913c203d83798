#include "ops/scale/scale.h"

#include "ops/scale/scale_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo scale_info;
const OpInfo scale_info{
    .name = "scale",
    .formula = "y = factor * x",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {n, 8 * n};
    },
};

Var scale(Graph& graph, const Var& x, float factor) {
  const OpTimer timer(graph.profiler(), scale_info.name, Pass::forward);
  Tensor y = Tensor::empty(x.shape(), x.value().dtype());
  cpu::scale(x.value(), factor, y);
  return graph.record(scale_info.name, {x}, y, [factor](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::scale(dy, factor, dx, accumulate);
  });
}

}  // namespace stepstone::ops
