// y[i] = table[ids[i]]: one row of the table per token.
//
// table [V, d] f32; ids [T], each in [0, V) (UsageError names the index of one that is not).
// y [T, d] f32, the start of the residual stream. Saves the ids. The table's gradient adds the rows
// of dy in the order of the tokens.
#pragma once

#include <cstdint>

#include "ops/op.h"

namespace stepstone::ops {

Var embedding(Graph& graph, const Var& table, std::span<const std::int32_t> ids);

}  // namespace stepstone::ops
