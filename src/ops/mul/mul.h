// y = a * b, element by element.
//
// a [rows, n] f32 or bf16, and one of
//   b of a's shape and dtype
//   b [n] f32:       every row of a times it
//   b [rows, 1] f32: row i of a times b[i]
// y has the shape and dtype of a. Saves a and b.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var mul(Graph& graph, const Var& a, const Var& b);

}  // namespace stepstone::ops
