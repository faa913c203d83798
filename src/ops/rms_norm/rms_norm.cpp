#include "ops/rms_norm/rms_norm.h"

#include "ops/rms_norm/rms_norm_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x", "weight"};
enum : int { kX, kWeight };
}  // namespace

extern const OpInfo rms_norm_info;
const OpInfo rms_norm_info{
    .name = "rms_norm",
    .formula = "y = x / sqrt(mean(x^2) + eps) * weight",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {4 * n, 8 * n};
    },
    .composite = "mul(mul(x, inverse_sqrt(row_mean(mul(x, x)), eps)), weight)",
};

Var rms_norm(Graph& graph, const Var& x, const Var& weight, float eps) {
  const std::int64_t n = x.value().cols();
  require<UsageError>(!weight.defined() || weight.shape() == Shape{n},
                      "rms_norm: expected a weight of [{}], got {}", n,
                      weight.defined() ? to_string(weight.shape()) : "none");
  const OpTimer timer(graph.profiler(), rms_norm_info.name, Pass::forward);
  const Tensor w = weight.defined() ? weight.value() : Tensor();
  Tensor y = Tensor::empty(x.shape(), graph.compute());
  Tensor inverse_rms = Tensor::empty({x.value().rows()}, DType::f32);
  cpu::rms_norm_forward(x.value(), w, eps, y, inverse_rms);
  return graph.record(rms_norm_info.name, {x, weight}, y,
                      [x = x.value(), w, inverse_rms](const Tensor& dy, Grads& grads) {
                        if (grads.needed(kX)) {
                          const auto [dx, accumulate] = grads.into(kX);
                          cpu::rms_norm_backward_x(x, w, inverse_rms, dy, dx, accumulate);
                        }
                        if (grads.needed(kWeight)) {
                          const auto [dw, accumulate] = grads.into(kWeight);
                          cpu::rms_norm_backward_weight(x, inverse_rms, dy, dw, accumulate);
                        }
                      });
}

}  // namespace stepstone::ops
