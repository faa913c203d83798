// tokenizer.json of Hugging Face `tokenizers` (format version 1.0), and GPT-2's pair of files.
//
// Read: BPE over bytes (ByteLevel, Split, Digits, or a Sequence of them that ends in ByteLevel;
// NFC or no normalizer), and WordLevel over single characters. Any part that would change the
// encoding and is not supported is a FormatError naming it, never ignored.
#pragma once

#include <filesystem>
#include <memory>

namespace stepstone {

struct TokenizerModel;

std::shared_ptr<const TokenizerModel> load_tokenizer(const std::filesystem::path& file_or_folder);

// A folder as `path` gets tokenizer.json and tokenizer_config.json.
void save_tokenizer(const TokenizerModel& model, const std::filesystem::path& path);

}  // namespace stepstone
