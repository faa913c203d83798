// y = a + b, element by element: the residual connection.
//
// a [..] f32 or bf16; b the same shape, either dtype. y has the dtype of `a`: the residual stream
// stays in f32 while its increments may be bf16. Saves nothing.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var add(Graph& graph, const Var& a, const Var& b);

}  // namespace stepstone::ops
