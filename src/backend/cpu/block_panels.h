// Quantised weights laid out for the kernels; the layout is in block_format.h.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/block_format.h"
#include "backend/cpu/gemm.h"
#include "core/storage.h"

namespace stepstone::cpu {

// Neighbouring columns of B of one type, in panels of BlockPanels::nr.
struct BlockPiece {
  BlockType type;
  std::int64_t first = 0, columns = 0;
  std::int64_t panel_bytes = 0;
  std::shared_ptr<Storage> panels;

  BlockFormat format() const { return block_format(type); }
  const std::byte* panel(std::int64_t i) const {
    return static_cast<const std::byte*>(panels->data()) + i * panel_bytes;
  }
};

struct BlockPanels {
  std::int64_t k = 0, n = 0;
  int nr = 0;
  std::vector<BlockPiece> pieces;
};

// In parallel. Every part has whole rows of k elements, k a multiple of its block.
BlockPanels make_block_panels(std::span<const BlockRows> parts, std::int64_t k, int nr);

// gemm() with B in such panels.
void block_gemm(const GemmArgs& args, const BlockPanels& b);

}  // namespace stepstone::cpu
