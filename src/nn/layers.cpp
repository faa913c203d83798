#include "nn/layers.h"

#include <algorithm>

#include "ops/add/add.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"

namespace stepstone::nn {

Var Linear::operator()(Graph& graph, const Var& x) const {
  const Var bias = bias_ ? bias_->var : Var();
  if (packed_.bytes() > 0 && !graph.recording()) return ops::linear(graph, x, packed_, bias);
  return ops::linear(graph, x, weight_->var, bias);
}

cpu::PackedMatrix packed_weight(const Tensor& w, DType compute) {
  if (compute == DType::bf16 && w.dtype() == DType::f16) {
    return packed_weight(w.to(DType::f32), compute);
  }
  return cpu::pack_b({w.raw(), w.dtype(), w.cols(), true}, w.cols(), w.rows(),
                     compute == DType::bf16 ? cpu::Compute::bf16 : cpu::Compute::f32);
}

void Linear::pack(DType compute) {
  if (packed_.bytes() > 0) return;
  packed_ = packed_weight(weight_->var.value(), compute);
  weight_->var = {};
}

Var offset_weight(Graph& graph, const Parameter* weight, float offset) {
  if (weight == nullptr) return {};
  if (offset == 0) return weight->var;
  const Tensor offsets = Tensor::empty(weight->var.shape(), DType::f32);
  std::ranges::fill(offsets.span<float>(), offset);
  return ops::add(graph, weight->var, Var(offsets));
}

Var Norm::operator()(Graph& graph, const Var& x) const {
  const Var weight = offset_weight(graph, weight_, offset_);
  if (kind_ == NormKind::rms) return ops::rms_norm(graph, x, weight, eps_);
  return ops::layer_norm(graph, x, weight, bias_ ? bias_->var : Var(), eps_);
}

}  // namespace stepstone::nn
