// Training a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv:1508.07909): the most frequent
// pair of tokens becomes a token, until the vocabulary is full. Ids: special tokens, the 256 bytes
// in the order of their byte-level characters, then the merges; equal counts go to the pair with
// the smaller ids. The result equals that of Hugging Face `tokenizers`' BpeTrainer with the
// ByteLevel alphabet, but no merge ever makes a special token's text into that token.
//
// The result depends on the texts and the options alone, not on the number of threads, nor on the
// order of the texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// Puts the next text (a document; words do not span two) in `text`; false at the end.
using TextSource = std::function<bool(std::string& text)>;

struct BpeTrainProgress {
  enum class Stage : std::uint8_t { counting, merging };
  Stage stage = Stage::counting;
  std::uint64_t bytes = 0;      // of text read so far
  std::int32_t vocab_size = 0;  // tokens so far
};

struct BpeTrainOptions {
  std::int32_t vocab_size = 32768;  // special tokens and bytes included
  // Ceiling of memory, apart from a few megabytes and the texts themselves (which come in batches
  // of 4 MiB, or singly where larger). Half is for counting words: counts that do not fit go to
  // disk. Half is for merging: if the distinct words do not fit (about 40 bytes for each of their
  // bytes), the rarest are left out, in a fixed order, and BpeTrainReport says how many.
  std::size_t memory_bytes = std::size_t{1} << 30;
  Pattern pattern = Pattern::gpt2;
  std::vector<std::string> special_tokens = {};
  std::uint64_t min_frequency = 0;              // stop at pairs that are rarer
  std::filesystem::path temporary_folder = {};  // default: the system's
  std::function<void(const BpeTrainProgress&)> progress = {};
};

struct BpeTrainReport {
  std::uint64_t bytes = 0;           // of text
  std::uint64_t words = 0;           // distinct
  std::uint64_t words_left_out = 0;  // distinct words beyond the memory
  std::uint64_t left_out_occurrences = 0;
  std::uint64_t sorted_runs = 0;  // times that a count table went to disk
};

// Throws UsageError for options that cannot be met, IoError where a run cannot be written. Gives
// fewer tokens than asked for when no pair is left.
Tokenizer train_bpe(const TextSource& source, const BpeTrainOptions& options,
                    BpeTrainReport* report = nullptr);

}  // namespace stepstone
