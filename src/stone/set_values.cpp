#include "stone/set_values.h"

#include <algorithm>

namespace stepstone {
namespace {

void copy_rows(std::span<const Tensor> sources, const Tensor& to) {
  std::int64_t begin = 0;
  for (const Tensor& source : sources) {
    const Tensor rows = to.slice(begin, begin + source.dim(0));
    rows.copy_from(source.dtype() == to.dtype() ? source : source.to(to.dtype()));
    begin += source.dim(0);
  }
}

}  // namespace

void set_values(Transformer& model, nn::Parameter& p, std::span<const Tensor> sources,
                Weights weights, DType compute) {
  if (weights == Weights::f32 || !model.multiplies(p)) {
    p.allocate();
    return copy_rows(sources, p.var.value());
  }
  if (sources.size() == 1) return model.set_matrix(p, sources.front(), compute);
  const bool alike = std::ranges::all_of(
      sources, [&](const Tensor& t) { return t.dtype() == sources.front().dtype(); });
  const Tensor values = Tensor::empty(p.shape, alike ? sources.front().dtype() : DType::f32);
  copy_rows(sources, values);
  model.set_matrix(p, values, compute);
}

}  // namespace stepstone
