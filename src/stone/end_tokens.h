// Which tokens end a text: what a model's files say, beyond the eos of its tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "io/gguf.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// "eos_token_id", an id or a list, of generation_config.json and config.json; either file may lack
// it or be missing. Throws FormatError for what is no id below `vocab_size`, the model's.
std::vector<std::int32_t> read_end_tokens(const std::filesystem::path& folder,
                                          std::int64_t vocab_size);
// tokenizer.ggml.{eos,eot,eom}_token_id.
std::vector<std::int32_t> read_end_tokens(const GgufFile& file, std::int64_t vocab_size);

// All that end a text of a model: the tokenizer's eos, the control tokens by which the known
// families end a turn (<|im_end|>, <|eot_id|>, …), and `named`, what its files name. Ascending.
std::vector<std::int32_t> end_tokens(const Tokenizer& tokenizer,
                                     const std::vector<std::int32_t>& named);

}  // namespace stepstone
