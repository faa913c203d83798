#include "ops/mul/mul.h"

#include "ops/mul/mul_cpu.h"

namespace stepstone::ops {
namespace {

constexpr std::string_view kInputs[] = {"a", "b"};
enum : int { kA, kB };

cpu::Broadcast broadcast(const Tensor& a, const Tensor& b) {
  if (b.shape() == a.shape() && b.dtype() == a.dtype()) return cpu::Broadcast::none;
  if (b.shape() == Shape{a.cols()} && b.dtype() == DType::f32) return cpu::Broadcast::row;
  require<UsageError>(b.shape() == Shape{a.rows(), 1} && b.dtype() == DType::f32,
                      "mul: expected a second factor of {} {}, [{}] f32 or [{}, 1] f32, got {} {}",
                      to_string(a.shape()), name_of(a.dtype()), a.cols(), a.rows(),
                      to_string(b.shape()), name_of(b.dtype()));
  return cpu::Broadcast::column;
}

}  // namespace

extern const OpInfo mul_info;
const OpInfo mul_info{
    .name = "mul",
    .formula = "y = a * b",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kA].numel());
      return {n, 8 * n + 4 * static_cast<double>(in[kB].numel())};
    },
};

Var mul(Graph& graph, const Var& a, const Var& b) {
  const cpu::Broadcast kind = broadcast(a.value(), b.value());
  const OpTimer timer(graph.profiler(), mul_info.name, Pass::forward);
  const Tensor y = Tensor::empty(a.shape(), a.value().dtype());
  cpu::mul(a.value(), b.value(), kind, y);
  return graph.record(mul_info.name, {a, b}, y,
                      [a = a.value(), b = b.value(), kind](const Tensor& dy, Grads& grads) {
                        if (grads.needed(kA)) {
                          const auto [da, accumulate] = grads.into(kA);
                          cpu::mul(dy, b, kind, da, accumulate);
                        }
                        if (grads.needed(kB)) {
                          const auto [db, accumulate] = grads.into(kB);
                          cpu::mul_backward_b(a, dy, kind, db, accumulate);
                        }
                      });
}

}  // namespace stepstone::ops
