// Layer normalisation (Ba, Kiros & Hinton 2016, arXiv:1607.06450).
//
//   y[i, j] = (x[i, j] - m_i) / sqrt(mean_j (x[i, j] - m_i)^2 + eps) * weight[j] + bias[j]
//   m_i     = mean_j x[i, j]
//
// x [rows, n] f32 or bf16; weight [n] f32; bias [n] f32, or undefined for none. y [rows, n] in the
// graph's compute dtype. Saves x, and mean and 1 / deviation per row.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var layer_norm(Graph& graph, const Var& x, const Var& weight, const Var& bias, float eps);

}  // namespace stepstone::ops
