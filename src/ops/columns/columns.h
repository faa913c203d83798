// y[i, j] = x[i, begin + j]: the columns [begin, end) of a matrix, copied.
//
// x [rows, n] f32 or bf16, 0 <= begin <= end <= n; y [rows, end - begin] has the dtype of x. Saves
// nothing.
#pragma once

#include "ops/op.h"

namespace stepstone::ops {

Var columns(Graph& graph, const Var& x, std::int64_t begin, std::int64_t end);

}  // namespace stepstone::ops
