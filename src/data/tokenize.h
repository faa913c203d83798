// From documents to token shards.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/readers.h"
#include "data/shards.h"
#include "io/hash.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

struct TokenizeOptions {
  // The control tokens around a text: beginning and end, where the tokenizer has them. A tokenizer
  // whose bos is its eos (GPT-2) gets the end alone.
  bool add_bos = true, add_eos = true;
  // Text that is tokenised at a time, in parallel; bounds memory, never changes the result.
  std::int64_t block_bytes = std::int64_t{8} << 20;
  // Share of the documents that go to `val`, chosen by a hash of their content: equal documents
  // go to one side, and a document stays on its side when the corpus grows.
  double val_fraction = 0;
  // What chats are rendered with; ChatML where there is none.
  std::optional<ChatTemplate> chat = std::nullopt;
};

struct TokenizedDocument {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> mask;  // per token: 1 = a training target
  std::int64_t text_bytes = 0;
};

// Text becomes [bos] tokens [eos], all of them targets; a chat goes through the chat template,
// with the assistant's tokens as targets (tokenizer/chat_template.h). Throws UsageError for a chat
// and, without a template, a tokenizer that lacks ChatML's control tokens.
TokenizedDocument tokenize_document(const Document& document, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options = {});

// Reads all of `reader` into `train` and, with a val_fraction, `val` (which may be null without).
// The caller finishes the writers. A chat needs writers with a mask (UsageError otherwise).
void tokenize_corpus(DocumentReader& reader, const Tokenizer& tokenizer,
                     const TokenizeOptions& options, ShardWriter& train,
                     ShardWriter* val = nullptr);

// Identifies a tokenizer by its vocabulary: ids, bytes and which of them are control tokens.
Hash128 tokenizer_hash(const Tokenizer& tokenizer);

// Bytes of text per token id, 0 for control tokens: SamplerOptions::token_bytes.
std::vector<std::int32_t> token_byte_lengths(const Tokenizer& tokenizer);

}  // namespace stepstone
