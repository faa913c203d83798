#include "ops/embedding/embedding.h"

#include "ops/embedding/embedding_cpu.h"
#include "quant/dequantize.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"table"};
enum : int { kTable };

void check_ids(std::span<const std::int32_t> ids, std::int64_t rows) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require<UsageError>(0 <= ids[i] && ids[i] < rows,
                        "embedding: ids[{}] is {}, the table has {} rows", i, ids[i], rows);
  }
}

}  // namespace

extern const OpInfo embedding_info;
const OpInfo embedding_info{
    .name = "embedding",
    .formula = "y[i] = table[ids[i]]",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto d = static_cast<double>(in[kTable].dim(-1));
      return {0, 8 * d};  // per token
    },
};

Var embedding(Graph& graph, const Var& table, std::span<const std::int32_t> ids) {
  const Tensor& t = table.value();
  require<UsageError>(t.rank() == 2 && t.dtype() == DType::f32,
                      "embedding: expected a table of [V, d] f32, got {} {}", to_string(t.shape()),
                      name_of(t.dtype()));
  check_ids(ids, t.dim(0));
  const OpTimer timer(graph.profiler(), embedding_info.name, Pass::forward);
  Tensor y = Tensor::empty({static_cast<std::int64_t>(ids.size()), t.dim(1)}, DType::f32);
  cpu::embedding_forward(t, ids, y);
  const std::span<const Var> inputs(&table, 1);
  std::vector<std::int32_t> saved;
  if (graph.saves_for(inputs)) saved.assign(ids.begin(), ids.end());
  return graph.record(embedding_info.name, {table}, y,
                      [ids = std::move(saved)](const Tensor& dy, Grads& grads) {
                        if (!grads.needed(kTable)) return;
                        const auto [dtable, accumulate] = grads.into(kTable);
                        cpu::embedding_backward(ids, dy, dtable, accumulate);
                      });
}

Var embedding(Graph& graph, const BlockTable& table, std::span<const std::int32_t> ids) {
  check_ids(ids, table.rows);
  const OpTimer timer(graph.profiler(), embedding_info.name, Pass::forward);
  Tensor y = Tensor::empty({static_cast<std::int64_t>(ids.size()), table.cols}, DType::f32);
  const std::size_t bytes = bytes_of(table.type, static_cast<std::uint64_t>(table.cols));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    dequantize(table.type, table.blocks.subspan(static_cast<std::size_t>(ids[i]) * bytes, bytes),
               y.slice(row, row + 1).span<float>());
  }
  return Var(y);
}

}  // namespace stepstone::ops
