#include "ops/columns/columns.h"

#include "ops/columns/columns_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x"};
enum : int { kX };
}  // namespace

extern const OpInfo columns_info;
const OpInfo columns_info{
    .name = "columns",
    .formula = "y[i, j] = x[i, begin + j]",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      return {0, 8 * static_cast<double>(in[kX].numel())};  // at most: all columns
    },
};

Var columns(Graph& graph, const Var& x, std::int64_t begin, std::int64_t end) {
  require<UsageError>(0 <= begin && begin <= end && end <= x.value().cols(),
                      "columns: [{}, {}) is outside of {}", begin, end, to_string(x.shape()));
  const OpTimer timer(graph.profiler(), columns_info.name, Pass::forward);
  const Tensor y = Tensor::empty({x.value().rows(), end - begin}, x.value().dtype());
  cpu::columns_forward(x.value(), begin, y);
  return graph.record(columns_info.name, {x}, y, [begin](const Tensor& dy, Grads& grads) {
    if (!grads.needed(kX)) return;
    const auto [dx, accumulate] = grads.into(kX);
    cpu::columns_backward(dy, begin, dx, accumulate);
  });
}

}  // namespace stepstone::ops
