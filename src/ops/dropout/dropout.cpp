#include "ops/dropout/dropout.h"

#include "ops/dropout/dropout_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo dropout_info;
const OpInfo dropout_info{
    .name = "dropout",
    .formula = "y = keep * x / (1 - p), keep = 0 with probability p, else 1",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {n, 8 * n};
    },
};

Var dropout(Graph& graph, const Var& x, float p) {
  require<UsageError>(0 <= p && p < 1, "dropout: expected 0 <= p < 1, got {}", p);
  if (!graph.training() || p == 0) return x;
  const OpTimer timer(graph.profiler(), dropout_info.name, Pass::forward);
  const cpu::DropoutMask mask{p, graph.seed(), graph.next_stream()};
  const Tensor y = Tensor::empty(x.shape(), x.value().dtype());
  cpu::dropout(x.value(), mask, y);
  return graph.record(dropout_info.name, {x}, y, [mask](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::dropout(dy, mask, dx, accumulate);
  });
}

}  // namespace stepstone::ops
