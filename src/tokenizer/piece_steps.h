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

  std::string_view operator[](std::size_t i) const {
    return std::string_view(text).substr(ranges[i].begin, ranges[i].end - ranges[i].begin);
  }
};

// `at_start`: the text begins where the whole input does.
using PieceStep = std::function<void(Pieces&, bool at_start)>;

// The steps of a "pre_tokenizer", a Sequence taken apart. Throws FormatError(file, field) for one
// that is unknown or broken.
std::vector<PieceStep> read_piece_steps(const Json& json, const std::string& field,
                                        const std::string& file);

}  // namespace stepstone
