// Packing documents into rows: which stretch of which document goes where.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace stepstone {

// `inputs` tokens from `begin` on; the last one predicts token begin + inputs.
struct Piece {
  std::int64_t begin = 0;
  std::int64_t inputs = 0;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// Rows as lists of pieces, one after another.
struct PackedRows {
  std::vector<Piece> pieces;
  std::vector<std::size_t> row_begin = {0};  // first piece of each row; one more at the end

  std::int64_t rows() const { return static_cast<std::int64_t>(row_begin.size()) - 1; }
  std::span<const Piece> row(std::int64_t i) const {
    const auto r = static_cast<std::size_t>(i);
    return std::span(pieces).subspan(row_begin[r], row_begin[r + 1] - row_begin[r]);
  }
};

// A document of n tokens has n - 1 inputs, cut into pieces of at most `cols`. Pieces go, longest
// first, into the fullest row that has room (best fit decreasing; Ding et al., "Fewer truncations
// improve language modeling", ICML 2024). Documents of one token give nothing.
PackedRows pack_documents(const Dataset& dataset, std::span<const std::int64_t> documents,
                          std::int64_t cols);

}  // namespace stepstone
