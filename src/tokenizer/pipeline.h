// Tokenizers that are not byte-level BPE: text steps, piece steps, then a subword model.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/piece_steps.h"
#include "tokenizer/subword.h"
#include "tokenizer/text_steps.h"
#include "tokenizer/word_cache.h"

namespace stepstone {

struct SentencePieceModel;

struct Pipeline {
  std::vector<TextStep> text_steps;
  std::vector<PieceStep> piece_steps;
  std::unique_ptr<const SubwordModel> model;

  // Bytes that decoding takes off the start of a text: this many of this character.
  std::string strip_start;
  std::size_t strip_start_count = 0;
  std::string strip_end;  // taken off the end, once

  // The JSON of the file that it came from, to be written back; empty for other formats.
  std::string source;
  // The SentencePiece model that it came from, if any (save_sentencepiece.h).
  std::shared_ptr<const SentencePieceModel> sentencepiece;

  // Appends the tokens of `text`; bytes that are not UTF-8 count as U+FFFD. `at_start`: the text is
  // the beginning of the whole input.
  void encode(std::string_view text, bool at_start, WordCache& words,
              std::vector<std::int32_t>& out) const;
};

}  // namespace stepstone
