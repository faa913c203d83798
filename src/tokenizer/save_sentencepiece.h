// A SentencePiece model as a tokenizer.json, without its added tokens.
#pragma once

#include "io/json.h"
#include "tokenizer/sentencepiece.h"

namespace stepstone {

// The same ids as the model gives, here and in Hugging Face `tokenizers`; there rules of
// normalisation are matched character by character, which differs for rare combining marks.
// Throws UsageError for user-defined symbols that text may give: tokenizer.json has none.
nlohmann::ordered_json sentencepiece_json(const SentencePieceModel& model);

}  // namespace stepstone
