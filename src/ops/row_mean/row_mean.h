// y[i, 0] = mean_j x[i, j], the row statistic that norms are made of.
//
// x [rows, n] f32 or bf16; y [rows, 1] f32. Saves nothing.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var row_mean(Graph& graph, const Var& x);

}  // namespace stepstone::ops
