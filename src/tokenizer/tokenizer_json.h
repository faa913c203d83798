// tokenizer.json of Hugging Face `tokenizers` (format version 1.0), and GPT-2's pair of files.
//
// Read: BPE over bytes (ByteLevel, Split, Digits, or a Sequence of them that ends in ByteLevel;
// NFC or no normalizer), WordLevel over single characters, and every other BPE, Unigram and
// WordPiece (pipeline.h). Any part that would change the encoding and is not supported is a
// FormatError naming it, never ignored. SentencePiece models: sentencepiece.h.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/json.h"

namespace stepstone {

struct TokenizerModel;

// From the content of a tokenizer.json; errors call it `file`.
std::shared_ptr<TokenizerModel> tokenizer_from_json(const Json& root, const std::string& file);

std::shared_ptr<const TokenizerModel> load_tokenizer(const std::filesystem::path& file_or_folder);

// The text of a tokenizer.json.
std::string tokenizer_json(const TokenizerModel& model);

// A folder as `path` gets tokenizer.json and tokenizer_config.json.
void save_tokenizer(const TokenizerModel& model, const std::filesystem::path& path);

}  // namespace stepstone
