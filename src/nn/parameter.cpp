#include "nn/parameter.h"

namespace stepstone::nn {

Parameter& ParameterList::add(std::string name, Shape shape, Role role, std::vector<Part> parts,
                              bool transposed) {
  if (parts.empty()) parts = {{name, shape.dim(0)}};
  Var var;
  if (values_ == Values::zeros) var = Var(Tensor::zeros(shape, DType::f32), true);
  return parameters_.emplace_back(Parameter{.name = std::move(name),
                                            .shape = std::move(shape),
                                            .var = std::move(var),
                                            .role = role,
                                            .parts = std::move(parts),
                                            .transposed = transposed});
}

void Parameter::allocate() {
  if (!var.defined()) var = Var(Tensor::empty(shape, DType::f32), true);
}

std::int64_t ParameterList::numel() const {
  std::int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.numel();
  return n;
}

void ParameterList::clear_gradients() {
  for (Parameter& p : parameters_) p.var.clear_grad();
}

}  // namespace stepstone::nn
