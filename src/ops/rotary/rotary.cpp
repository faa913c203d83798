#include "ops/rotary/rotary.h"

#include <algorithm>

#include "ops/rotary/rotary_cpu.h"

namespace stepstone::ops {
namespace {

constexpr std::string_view kInputs[] = {"qkv", "q_norm", "k_norm"};
enum : int { kQkv, kQNorm, kKNorm };

void check_norm(const Var& weight, std::string_view name, std::int64_t head_dim) {
  if (!weight.defined()) return;
  require<UsageError>(weight.shape() == Shape{head_dim} && weight.value().dtype() == DType::f32,
                      "rotary: {}: expected [{}] f32, got {} {}", name, head_dim,
                      to_string(weight.shape()), name_of(weight.value().dtype()));
}

void check(const Var& qkv, std::span<const std::int32_t> positions, const RotaryConfig& c,
           const Var& q_norm, const Var& k_norm) {
  require<UsageError>(c.heads > 0 && c.kv_heads > 0 && c.head_dim > 0,
                      "rotary: heads {}, kv_heads {} and head_dim {} must be positive", c.heads,
                      c.kv_heads, c.head_dim);
  require<UsageError>(c.rotary_dim >= 0 && c.rotary_dim <= c.head_dim,
                      "rotary: rotary_dim {} is not within the head's {}", c.rotary_dim,
                      c.head_dim);
  const std::int64_t cols = (c.heads + 2 * c.kv_heads) * c.head_dim;
  require<UsageError>(qkv.shape().rank() == 2 && qkv.shape().dim(1) == cols,
                      "rotary: expected qkv [T, {}], got {}", cols, to_string(qkv.shape()));
  require<UsageError>(static_cast<std::int64_t>(positions.size()) == qkv.shape().dim(0),
                      "rotary: {} positions for {} rows", positions.size(), qkv.shape().dim(0));
  require<UsageError>(std::ranges::all_of(positions, [](std::int32_t p) { return p >= 0; }),
                      "rotary: a position is negative");
  check_norm(q_norm, "q_norm", c.head_dim);
  check_norm(k_norm, "k_norm", c.head_dim);
}

}  // namespace

extern const OpInfo rotary_info;
const OpInfo rotary_info{
    .name = "rotary",
    .formula = "y_i = n_i cos - n_j sin, y_j = n_j cos + n_i sin; n = rms_norm(x) per head",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto n = static_cast<double>(in[kQkv].numel());
      return {3 * n, 8 * n};
    },
};

Var rotary(Graph& graph, const Var& qkv, std::span<const std::int32_t> positions,
           const RotaryConfig& c, const Var& q_norm, const Var& k_norm) {
  check(qkv, positions, c, q_norm, k_norm);
  const OpTimer timer(graph.profiler(), rotary_info.name, Pass::forward);
  const std::int64_t rows = qkv.shape().dim(0);
  cpu::RotaryArgs args{.heads = c.heads,
                       .kv_heads = c.kv_heads,
                       .head_dim = c.head_dim,
                       .rotary_dim = c.rotary_dim,
                       .interleaved = c.interleaved,
                       .norm_eps = c.norm_eps,
                       .positions = Tensor::from<std::int32_t>(positions, {rows})};
  if (c.rotary_dim > 0 && rows > 0) {
    const auto table = rope_table({c.rotary_dim, c.theta, c.scaling},
                                  std::int64_t{std::ranges::max(positions)} + 1);
    args.cos = table->cos;
    args.sin = table->sin;
  }
  if (q_norm.defined()) args.q_norm = q_norm.value();
  if (k_norm.defined()) args.k_norm = k_norm.value();
  Tensor inverse_rms;
  if (q_norm.defined() || k_norm.defined()) {
    inverse_rms = Tensor::empty({rows, c.heads + c.kv_heads}, DType::f32);
  }
  Tensor y = Tensor::empty(qkv.shape(), graph.compute());
  cpu::rotary_forward(args, qkv.value(), y, inverse_rms);
  return graph.record(rotary_info.name, {qkv, q_norm, k_norm}, y,
                      [args, x = qkv.value(), inverse_rms](const Tensor& dy, Grads& grads) {
                        if (grads.needed(kQkv)) {
                          const auto [dx, accumulate] = grads.into(kQkv);
                          cpu::rotary_backward_qkv(args, x, inverse_rms, dy, dx, accumulate);
                        }
                        for (const int norm : {kQNorm, kKNorm}) {
                          if (!grads.needed(norm)) continue;
                          const auto [dw, accumulate] = grads.into(norm);
                          cpu::rotary_backward_norm(args, norm == kQNorm, x, inverse_rms, dy, dw,
                                                    accumulate);
                        }
                      });
}

}  // namespace stepstone::ops
