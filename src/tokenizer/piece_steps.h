// The pre-tokenizers of tokenizer.json: each cuts pieces of text into smaller ones.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace stepstone {

// Pieces of one text, in order; a step may rewrite the text.
struct Pieces {
  struct Range {
    std::size_t begin, end;
  };
  std::string text;
  std::vector<Range> ranges;
  std::size_t most = ~std::size_t{0};  // bytes that the text may grow to

  std::string_view operator[](std::size_t i) const {
    return std::string_view(text).substr(ranges[i].begin, ranges[i].end - ranges[i].begin);
  }
};

// `at_start`: the text begins where the whole input does. Throws FormatError with the name of a
// step that makes the text too long.
using PieceStep = std::function<void(Pieces&, bool at_start)>;

// The steps of a "pre_tokenizer", a Sequence taken apart. Throws FormatError(file, field) for one
// that is unknown or broken.
std::vector<PieceStep> read_piece_steps(const Json& json, const std::string& field,
                                        const std::string& file);

}  // namespace stepstone
