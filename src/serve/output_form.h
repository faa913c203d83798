// What a request wants the model's text to look like.
#pragma once

#include <memory>

#include "grammar/grammar.h"
#include "serve/request_fields.h"

namespace stepstone {

// Larger notations are refused: compiling one must not keep a thread of the server busy for long.
inline constexpr std::size_t kMaxGrammarBytes = std::size_t{128} << 10;

// Null for free text. Known are OpenAI's response_format (text, json_object, json_schema),
// llama.cpp's grammar (GBNF) and json_schema, and vLLM's guided_json, guided_regex, guided_choice,
// guided_grammar and structured_outputs with json, regex, choice, grammar. One at most. Throws
// ApiError naming the field.
std::shared_ptr<const Grammar> output_grammar(const RequestBody& body);

// The texts that the JSON Schema allows, ready to be followed. Throws UsageError.
std::shared_ptr<const Grammar> schema_grammar(const OrderedJson& schema);

}  // namespace stepstone
