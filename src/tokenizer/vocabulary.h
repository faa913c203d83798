// The tokens of a file before they are put in order: spelled as in the file.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/json.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {

struct Vocabulary {
  std::string file;
  std::unordered_map<std::string, std::int32_t> ids = {};
  std::vector<AddedToken> added = {};
  std::vector<std::pair<std::string, std::string>> merges = {};
};

// These throw FormatError(file, field).
std::int32_t read_token_id(const Json& value, const std::string& file, const std::string& field);
void read_vocab(const Json& vocab, const std::string& field, Vocabulary& out);
void read_added(const Json& list, Vocabulary& out);
void read_merges(const Json& merges, Vocabulary& out);
// The tokens by id; checks that the ids are 0 to n - 1, each once.
std::vector<const std::string*> in_order(const Vocabulary& vocabulary);
// Refuses a field of `object` that is not among `known`.
void expect_fields(const Json& object, std::string_view where, const std::string& file,
                   std::initializer_list<std::string_view> known);

// True for a tokenizer.json that is neither byte-level BPE nor single characters.
bool needs_pipeline(const Json& root);
// Fills `model` from such a file. Throws FormatError.
void read_pipeline(const Json& root, Vocabulary& vocabulary, TokenizerModel& model);

// "<0x0A>" for 10, as byte fallback spells bytes; nothing for another token.
std::optional<unsigned char> byte_of_token(std::string_view token);

}  // namespace stepstone
