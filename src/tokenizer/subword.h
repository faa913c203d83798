// What turns one piece of normalized text into tokens: the "model" of a tokenizer.json other than
// byte-level BPE.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/trie.h"

namespace stepstone {

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  // Appends the tokens of `piece`, which is UTF-8 and not empty. Time is O(n log n) at most.
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& out) const = 0;

  // True when no token crosses the start of a word, U+2581 after another character: then words can
  // be encoded one by one.
  virtual bool words_stand_alone() const { return false; }
};

// Tokens for what no token spells.
struct Unknowns {
  std::optional<std::int32_t> unk;
  bool fuse = false;                                   // a run of unknown characters is one token
  std::optional<std::array<std::int32_t, 256>> bytes;  // byte fallback
};

// BPE over characters (Llama 2, Mistral, CLIP): merges of lowest rank first, leftmost first.
struct SymbolMerge {
  std::int32_t left, right, result;
  std::uint32_t rank;
};
class SymbolBpe final : public SubwordModel {
 public:
  struct Options {
    Unknowns unknowns;
    std::string prefix, suffix;  // of symbols after the first, and of the last
    bool ignore_merges = false;  // a piece that is a token is that token
  };
  // `tokens` spells every token that text may give; empty for one that it may not.
  SymbolBpe(const std::vector<std::string>& tokens, const std::vector<SymbolMerge>& merges,
            const std::vector<std::int32_t>& user_defined, Options options);

  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;
  bool words_stand_alone() const override { return words_stand_alone_; }

 private:
  struct Symbol {
    std::int32_t id;  // -1: merged away
    std::uint32_t previous, next;
    bool frozen;
  };
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    std::uint32_t rank = 0;
    std::int32_t result = 0;
  };
  const Slot* slot_of(const std::vector<Symbol>& symbols, std::uint32_t at) const;
  void split(std::string_view piece, std::vector<Symbol>& symbols) const;
  void merge_short(std::vector<Symbol>& symbols) const;
  void merge_by_rank(std::vector<Symbol>& symbols) const;
  static void merge_at(std::vector<Symbol>& symbols, std::uint32_t at, std::int32_t result);

  Options options_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<Slot> slots_;
  int shift_ = 60;
  Trie user_defined_;
  bool ordered_ = true, words_stand_alone_ = false;
};

// Unigram language model: the most probable segmentation (Kudo 2018, arXiv:1804.10959, Viterbi).
// `Real` is the type that the reference sums in: double in `tokenizers`, float in SentencePiece.
template <typename Real>
class Unigram final : public SubwordModel {
 public:
  // user_defined: tokens that win over any other segmentation.
  Unigram(const std::vector<std::string>& tokens, std::vector<Real> scores, Real min_score,
          const std::vector<std::int32_t>& user_defined, Unknowns unknowns);
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;

 private:
  Trie trie_;
  std::vector<Real> scores_;
  std::vector<bool> user_defined_;
  Real unknown_score_, max_score_;
  Unknowns unknowns_;
};

// Greedy longest match, word by word (BERT).
class WordPiece final : public SubwordModel {
 public:
  WordPiece(const std::vector<std::string>& tokens, const std::string& prefix, std::int32_t unk,
            std::size_t max_characters);
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;

 private:
  Trie first_, rest_;
  std::int32_t unk_;
  std::size_t max_characters_;
};

// Whole pieces only.
class WordLevel final : public SubwordModel {
 public:
  WordLevel(const std::vector<std::string>& tokens, std::optional<std::int32_t> unk);
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;

 private:
  std::unordered_map<std::string, std::int32_t> ids_;
  std::optional<std::int32_t> unk_;
};

}  // namespace stepstone
