#include "ops/layer_norm/layer_norm.h"

#include "ops/layer_norm/layer_norm_cpu.h"
#include "ops/linear/bias_gradient_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"x", "weight", "bias"};
enum : int { kX, kWeight, kBias };
}  // namespace

extern const OpInfo layer_norm_info;
const OpInfo layer_norm_info{
    .name = "layer_norm",
    .formula = "y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kX].numel());
      return {8 * n, 8 * n};
    },
    .composite =
        "c = add(x, mul(1, scale(row_mean(x), -1))); add(mul(mul(c, inverse_sqrt(row_mean("
        "mul(c, c)), eps)), weight), mul(1, bias))",
};

Var layer_norm(Graph& graph, const Var& x, const Var& weight, const Var& bias, float eps) {
  const std::int64_t n = x.value().cols();
  require<UsageError>(weight.defined() && weight.shape() == Shape{n},
                      "layer_norm: expected a weight of [{}], got {}", n,
                      weight.defined() ? to_string(weight.shape()) : "none");
  require<UsageError>(!bias.defined() || bias.shape() == Shape{n},
                      "layer_norm: expected a bias of [{}], got {}", n,
                      bias.defined() ? to_string(bias.shape()) : "none");
  const OpTimer timer(graph.profiler(), layer_norm_info.name, Pass::forward);
  const Tensor y = Tensor::empty(x.shape(), graph.compute());
  const Tensor mean = Tensor::empty({x.value().rows()}, DType::f32);
  const Tensor scale = Tensor::empty({x.value().rows()}, DType::f32);
  cpu::layer_norm_forward(x.value(), weight.value(), bias.defined() ? bias.value() : Tensor(), eps,
                          y, mean, scale);
  return graph.record(
      layer_norm_info.name, {x, weight, bias}, y,
      [x = x.value(), w = weight.value(), mean, scale](const Tensor& dy, Grads& grads) {
        if (grads.needed(kX)) {
          const auto [dx, accumulate] = grads.into(kX);
          cpu::layer_norm_backward_x(x, w, mean, scale, dy, dx, accumulate);
        }
        if (grads.needed(kWeight)) {
          const auto [dw, accumulate] = grads.into(kWeight);
          cpu::layer_norm_backward_weight(x, mean, scale, dy, dw, accumulate);
        }
        if (grads.needed(kBias)) {
          const auto [db, accumulate] = grads.into(kBias);
          cpu::bias_gradient(dy, db, accumulate);
        }
      });
}

}  // namespace stepstone::ops
