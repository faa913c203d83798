// y[i] = table[ids[i]]: one row of the table per token.
//
// table [V, d] f32; ids [T], each in [0, V) (UsageError names the index of one that is not).
// y [T, d] f32, the start of the residual stream. Saves the ids. The table's gradient adds the rows
// of dy in the order of the tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ops/op.h"
#include "quant/block_type.h"

namespace stepstone::ops {

Var embedding(Graph& graph, const Var& table, std::span<const std::int32_t> ids);

// A table in the quantised blocks of a file, whole blocks to the row.
struct BlockTable {
  BlockType type = BlockType::q8_0;
  std::span<const std::byte> blocks;
  std::int64_t rows = 0, cols = 0;
  std::shared_ptr<const void> keep_alive;  // of the blocks
};

// The same from such a table, for inference: records nothing.
Var embedding(Graph& graph, const BlockTable& table, std::span<const std::int32_t> ids);

}  // namespace stepstone::ops
