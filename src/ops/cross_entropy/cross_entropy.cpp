#include "ops/cross_entropy/cross_entropy.h"

#include <numeric>

#include "ops/cross_entropy/cross_entropy_cpu.h"
#include "ops/scale/scale_cpu.h"

namespace stepstone::ops {
namespace {
constexpr std::string_view kInputs[] = {"logits"};
enum : int { kLogits };
}  // namespace

extern const OpInfo cross_entropy_info;
const OpInfo cross_entropy_info{
    .name = "cross_entropy",
    .formula = "y = scale * sum_i (logsumexp(z_i) - z[i, target_i] + z_loss * logsumexp(z_i)^2)",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kLogits].numel());
      return {4 * n, 4 * n};
    },
};

Var cross_entropy(Graph& graph, const Var& logits, std::span<const std::int32_t> targets,
                  const CrossEntropyConfig& config) {
  const Tensor& z = logits.value();
  require<UsageError>(z.rank() == 2 && z.dtype() == DType::f32 &&
                          z.dim(0) == static_cast<std::int64_t>(targets.size()),
                      "cross_entropy: expected logits of [{}, V] f32, got {} {}", targets.size(),
                      to_string(z.shape()), name_of(z.dtype()));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    require<UsageError>(-1 <= targets[i] && targets[i] < z.dim(1),
                        "cross_entropy: targets[{}] is {}, there are {} classes", i, targets[i],
                        z.dim(1));
  }
  const OpTimer timer(graph.profiler(), cross_entropy_info.name, Pass::forward);
  std::vector<double> nll(targets.size()), loss(targets.size());
  const Tensor work = z.clone();
  const bool save = graph.saves_for(std::span(&logits, 1));
  cpu::cross_entropy_rows(work, targets, {.z_loss = config.z_loss, .scale = config.scale}, save,
                          nll, loss);
  const float total =
      static_cast<float>(config.scale * std::accumulate(loss.begin(), loss.end(), 0.0));
  const Tensor y = Tensor::from<float>(std::span(&total, 1), {1});
  return graph.record(cross_entropy_info.name, {logits}, y,
                      [gradient = save ? work : Tensor()](const Tensor& dy, Grads& grads) {
                        if (!grads.needed(kLogits)) return;
                        const auto [dz, accumulate] = grads.into(kLogits);
                        cpu::scale(gradient, dy.data<float>()[0], dz, accumulate);
                      });
}

}  // namespace stepstone::ops
