// The tokenizer inside a GGUF file, as its metadata states it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/tokenizer_model.h"

namespace stepstone {

// The values of the keys "tokenizer.ggml.…"; empty or absent where the file has none.
struct GgufVocabulary {
  std::string file = {};   // for errors
  std::string model = {};  // gpt2, llama (SentencePiece BPE) or bert (WordPiece)
  std::string pre = {};    // how gpt2 cuts text: gpt-2, llama-bpe, qwen2, …
  std::vector<std::string> tokens = {};
  std::vector<float> scores = {};  // llama
  std::vector<std::int32_t> token_type =
      {};                                // 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
  std::vector<std::string> merges = {};  // gpt2: "a b"
  std::optional<std::uint32_t> bos_id = {}, eos_id = {}, unknown_id = {}, padding_id = {};
  bool add_space_prefix = true;  // llama
};

// Throws FormatError(file, key).
std::shared_ptr<TokenizerModel> read_gguf_vocabulary(const GgufVocabulary& vocabulary);

}  // namespace stepstone
