#include "data/packing.h"

#include <algorithm>
#include <map>

namespace stepstone {

PackedRows pack_documents(const Dataset& dataset, std::span<const std::int64_t> documents,
                          std::int64_t cols) {
  std::vector<Piece> pieces;
  for (const std::int64_t i : documents) {
    const TokenRange range = dataset.document(i);
    for (std::int64_t at = range.begin; at + 1 < range.end; at += cols) {
      pieces.push_back({at, std::min(cols, range.end - 1 - at)});
    }
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.inputs > b.inputs; });
  std::vector<std::vector<Piece>> rows;
  std::multimap<std::int64_t, std::size_t> open;  // room left -> row
  for (const Piece& piece : pieces) {
    std::size_t row = rows.size();
    std::int64_t room = cols;
    if (const auto fit = open.lower_bound(piece.inputs); fit != open.end()) {
      room = fit->first;
      row = fit->second;
      open.erase(fit);
    } else {
      rows.emplace_back();
    }
    rows[row].push_back(piece);
    if (room > piece.inputs) open.emplace(room - piece.inputs, row);
  }
  PackedRows packed;
  packed.pieces.reserve(pieces.size());
  for (const auto& row : rows) {
    packed.pieces.insert(packed.pieces.end(), row.begin(), row.end());
    packed.row_begin.push_back(packed.pieces.size());
  }
  return packed;
}

}  // namespace stepstone
