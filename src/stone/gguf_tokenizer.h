// The tokenizer in the metadata of a GGUF file.
#pragma once

#include <cstdint>
#include <string>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// Byte-level BPE, SentencePiece BPE and WordPiece. Throws FormatError naming the key.
Tokenizer read_gguf_tokenizer(const GgufFile& file);

// `vocab_size`: the model's, whose further rows become unused tokens. Throws UsageError for a
// tokenizer that is not byte-level BPE, which is all that is written.
void write_gguf_tokenizer(const Tokenizer& tokenizer, std::int64_t vocab_size,
                          const std::string& chat_template, GgufWriter& writer);

}  // namespace stepstone
