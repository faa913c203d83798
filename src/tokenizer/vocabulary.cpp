#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <unordered_set>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxTokens = std::size_t{1} << 24;

}  // namespace

std::int32_t read_token_id(const Json& value, const std::string& file, const std::string& field) {
  if (!value.is_number_integer()) throw FormatError(file, field, "expected an integer id");
  const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() < kMaxTokens
                                               : value.get<std::int64_t>() >= 0;
  if (!fits) {
    throw FormatError(file, field,
                      fmt::format("id {} is outside 0 to {}", value.dump(), kMaxTokens - 1));
  }
  return static_cast<std::int32_t>(value.get<std::uint64_t>());
}

void read_vocab(const Json& vocab, const std::string& field, Vocabulary& out) {
  if (!vocab.is_object()) throw FormatError(out.file, field, "expected an object of ids");
  if (vocab.size() > kMaxTokens) throw FormatError(out.file, field, "too many tokens");
  for (const auto& [token, id] : vocab.items()) {
    if (token.empty()) throw FormatError(out.file, field, "a token is the empty string");
    out.ids.emplace(token, read_token_id(id, out.file, fmt::format("{}[\"{}\"]", field, token)));
  }
}

void read_added(const Json& list, Vocabulary& out) {
  if (!list.is_array()) throw FormatError(out.file, "added_tokens", "expected an array");
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string field = fmt::format("added_tokens[{}]", i);
    if (!list[i].is_object()) throw FormatError(out.file, field, "expected an object");
    AddedToken token;
    token.id = read_token_id(get<Json>(list[i], "id", out.file), out.file, field + ".id");
    token.content = get<std::string>(list[i], "content", out.file);
    token.special = get_or<bool>(list[i], "special", out.file, false);
    token.normalized = get_or<bool>(list[i], "normalized", out.file, false);
    if (token.content.empty()) throw FormatError(out.file, field + ".content", "is empty");
    if (!seen.insert(token.content).second) {
      throw FormatError(out.file, field + ".content",
                        fmt::format("\"{}\" is there twice", token.content));
    }
    token.single_word = get_or<bool>(list[i], "single_word", out.file, false);
    token.lstrip = get_or<bool>(list[i], "lstrip", out.file, false);
    token.rstrip = get_or<bool>(list[i], "rstrip", out.file, false);
    const auto known = out.ids.find(token.content);
    if (known != out.ids.end() && known->second != token.id) {
      throw FormatError(out.file, field + ".id",
                        fmt::format("{} where the vocabulary gives \"{}\" the id {}", token.id,
                                    token.content, known->second));
    }
    out.ids[token.content] = token.id;
    out.added.push_back(std::move(token));
  }
  std::sort(out.added.begin(), out.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}

void read_merges(const Json& merges, Vocabulary& out) {
  if (!merges.is_array()) throw FormatError(out.file, "model.merges", "expected an array");
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const Json& merge = merges[i];
    const std::string field = fmt::format("model.merges[{}]", i);
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        throw FormatError(out.file, field, "expected two tokens with one space between");
      }
      out.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      out.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      throw FormatError(out.file, field, "expected \"a b\" or [\"a\", \"b\"]");
    }
  }
}

std::vector<const std::string*> in_order(const Vocabulary& vocabulary) {
  std::vector<const std::string*> tokens(vocabulary.ids.size(), nullptr);
  if (tokens.empty()) throw FormatError(vocabulary.file, "model.vocab", "has no tokens");
  for (const auto& [token, id] : vocabulary.ids) {
    if (static_cast<std::size_t>(id) >= tokens.size()) {
      throw FormatError(
          vocabulary.file, "model.vocab",
          fmt::format("ids have gaps: \"{}\" has id {} among {} tokens", token, id, tokens.size()));
    }
    if (tokens[id] != nullptr) {
      const auto [first, second] = std::minmax(token, *tokens[id]);
      throw FormatError(vocabulary.file, "model.vocab",
                        fmt::format("id {} belongs to both \"{}\" and \"{}\"", id, first, second));
    }
    tokens[id] = &token;
  }
  return tokens;
}

void expect_fields(const Json& object, std::string_view where, const std::string& file,
                   std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw FormatError(file, fmt::format("{}{}", where, key), "unknown field");
    }
  }
}

}  // namespace stepstone
