// y = 1 / sqrt(x + eps), element by element.
//
// x [..] f32, x + eps > 0; y f32. Saves y.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var inverse_sqrt(Graph& graph, const Var& x, float eps);

}  // namespace stepstone::ops
