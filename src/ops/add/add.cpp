#include "ops/add/add.h"

#include "ops/add/add_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"a", "b"};
enum : int { kA, kB };
}  // namespace

extern const OpInfo add_info;
const OpInfo add_info{
    .name = "add",
    .formula = "y = a + b",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kA].numel());
      return {n, 12 * n};
    },
};

Var add(Graph& graph, const Var& a, const Var& b) {
  require<UsageError>(a.shape() == b.shape(), "add: expected equal shapes, got {} and {}",
                      to_string(a.shape()), to_string(b.shape()));
  const OpTimer timer(graph.profiler(), add_info.name, Pass::forward);
  Tensor y = Tensor::empty(a.shape(), a.value().dtype());
  cpu::add(a.value(), b.value(), y);
  return graph.record(add_info.name, {a, b}, y,
                      [b_dtype = b.value().dtype()](const Tensor& dy, Grads& grads) {
                        if (grads.needed(kA)) grads.pass(kA, dy);
                        if (grads.needed(kB))
                          grads.pass(kB, dy.dtype() == b_dtype ? dy : dy.to(b_dtype));
                      });
}

}  // namespace stepstone::ops
