#include "core/error.h"
#include "tokenizer/subword.h"

namespace stepstone {

WordPiece::WordPiece(const std::vector<std::string>& tokens, const std::string& prefix,
                     std::int32_t unk, std::size_t max_characters)
    : unk_(unk), max_characters_(max_characters) {
  std::vector<std::pair<std::string_view, std::int32_t>> first, rest;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    if (token.empty()) continue;
    first.emplace_back(token, static_cast<std::int32_t>(id));
    if (token.starts_with(prefix) && token.size() > prefix.size()) {
      rest.emplace_back(token.substr(prefix.size()), static_cast<std::int32_t>(id));
    }
  }
  first_ = Trie(std::move(first));
  rest_ = Trie(std::move(rest));
}

void WordPiece::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  std::size_t characters = 0;
  for (const char byte : piece) characters += (byte & 0xC0) != 0x80;
  const std::size_t first = out.size();
  for (std::size_t at = 0; at < piece.size() && characters <= max_characters_;) {
    std::size_t longest = 0;
    std::int32_t id = -1;
    (at == 0 ? first_ : rest_)
        .prefixes(piece.substr(at), [&](std::size_t size, std::int32_t value) {
          longest = size;
          id = value;
        });
    if (longest == 0) break;
    out.push_back(id);
    at += longest;
    if (at == piece.size()) return;
  }
  out.resize(first);
  out.push_back(unk_);
}

WordLevel::WordLevel(const std::vector<std::string>& tokens, std::optional<std::int32_t> unk)
    : unk_(unk) {
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) ids_.emplace(tokens[id], static_cast<std::int32_t>(id));
  }
}

void WordLevel::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  const auto found = ids_.find(std::string(piece));
  require(found != ids_.end() || unk_, "\"{}\" is not in the vocabulary", piece);
  out.push_back(found != ids_.end() ? found->second : *unk_);
}

}  // namespace stepstone
