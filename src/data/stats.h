// What is in a corpus.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/readers.h"
#include "io/json.h"

namespace stepstone {

// The main language of a text, by script and, for Latin script, by how many of its words are among
// the commonest of English. A guess: short texts and mixed ones may be taken for `other`.
enum class TextLanguage : std::uint8_t { en, zh, ja, ko, other };
inline constexpr int kTextLanguages = 5;
std::string_view name(TextLanguage language);
TextLanguage guess_language(std::string_view text);

struct CorpusStats {
  std::int64_t files = 0;
  std::int64_t documents = 0;  // texts and chats
  std::int64_t chats = 0, messages = 0;
  std::int64_t bytes = 0;       // of text, and of messages' contents
  std::int64_t characters = 0;  // Unicode code points
  std::int64_t words = 0;       // runs of non-space; in Chinese and Japanese each character is one
  std::array<std::int64_t, kTextLanguages> language_documents{}, language_bytes{};
  // Documents whose content another document had before, byte for byte; and their bytes.
  std::int64_t duplicates = 0, duplicate_bytes = 0;
  // length_histogram[i]: documents of [2^i, 2^(i+1)) characters.
  std::vector<std::int64_t> length_histogram;
  std::int64_t shortest = 0, longest = 0;  // in characters
  std::int64_t median = 0;                 // of the characters, to within 1 %
};

// Reads all of `reader`. Memory: 16 bytes per distinct document. Independent of threads.
CorpusStats corpus_stats(DocumentReader& reader, std::int64_t files);

Json to_json(const CorpusStats& stats);

}  // namespace stepstone
