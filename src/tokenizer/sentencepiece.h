// SentencePiece models (.model): a ModelProto of protocol buffers, read by itself.
//
// Unigram and BPE, the normalisation rules in the file, byte fallback and user-defined symbols.
// Control symbols, and user-defined ones in the form of a tag (<…>, [...]), are control tokens that
// text cannot spell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/subword.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {

struct SentencePieceModel {
  enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };
  static constexpr std::uint64_t kUnigram = 1, kBpe = 2;

  std::vector<Piece> pieces;
  std::uint64_t type = kUnigram;
  bool byte_fallback = false, suffix_spaces = false;
  std::uint64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = ~std::uint64_t{0};
  std::string charsmap;
  bool add_prefix = true, remove_spaces = true, escape_spaces = true;
};

// Every way to make a piece of two others, for a model of type BPE. `tokens`: what text may give.
std::vector<SymbolMerge> sentencepiece_merges(const SentencePieceModel& model,
                                              const std::vector<std::string>& tokens);

// Throws FormatError(file, field).
std::shared_ptr<TokenizerModel> build_sentencepiece(const SentencePieceModel& model,
                                                    const std::string& file);

// Throws FormatError(file, field) for a model that is broken or of another type, and IoError.
std::shared_ptr<TokenizerModel> read_sentencepiece(const std::filesystem::path& path);

}  // namespace stepstone
