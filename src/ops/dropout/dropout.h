// Dropout (Srivastava et al. 2014): in training each element is zeroed with probability p, the
// others are scaled by 1 / (1 - p). Otherwise, and for p = 0, the result is x itself.
//
// x [..] f32 or bf16; y has the dtype of x; 0 <= p < 1. Which elements fall depends on the graph's
// seed, the op's stream number and the element's index alone; p is rounded to a multiple of 2^-16.
// Saves those, and no mask.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var dropout(Graph& graph, const Var& x, float p);

}  // namespace stepstone::ops
