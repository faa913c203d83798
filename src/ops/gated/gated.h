// The gated unit of a feed-forward layer (Shazeer 2020, "GLU variants", arXiv:2002.05202): SwiGLU
// with silu, GeGLU with a gelu.
//
//   y[i, j] = f(x[i, j]) * x[i, F + j],  0 <= j < F
//
// x [rows, 2F] f32 or bf16: the gate's columns, then the up columns, as one matrix product gives
// them. y [rows, F] has the dtype of x. Saves x.
#pragma once

#include "ops/activation/activation.h"

namespace stepstone::ops {

Var gated(Graph& graph, const Var& gate_up, Activation kind);

}  // namespace stepstone::ops
