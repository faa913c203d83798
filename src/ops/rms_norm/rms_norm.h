// Root mean square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).
//
//   y[i, j] = x[i, j] / sqrt(mean_j x[i, j]^2 + eps) * weight[j]
//
// x [rows, n] f32 or bf16; weight [n] f32, or undefined for none. y [rows, n] in the graph's
// compute dtype. Saves x and 1 / rms per row.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var rms_norm(Graph& graph, const Var& x, const Var& weight, float eps);

}  // namespace stepstone::ops
