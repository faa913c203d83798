// y = factor * x, element by element. x [..] f32 or bf16; y has the dtype of x. Saves nothing.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var scale(Graph& graph, const Var& x, float factor);

}  // namespace stepstone::ops
