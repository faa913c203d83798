// y[i, j] = exp(x[i, j]) / sum_k exp(x[i, k]).
//
// x [rows, n] f32 or bf16; y has the dtype of x. Entries of -inf get exactly 0. Saves y.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var softmax(Graph& graph, const Var& x);

}  // namespace stepstone::ops
