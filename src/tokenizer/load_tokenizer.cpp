#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "io/file.h"
#include "io/json.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/read_splits.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/tokenizer_model.h"
#include "tokenizer/vocabulary.h"

namespace stepstone {
namespace {

std::vector<Merge> resolve_merges(const Vocabulary& vocabulary,
                                  const std::vector<std::uint8_t>& control) {
  const auto id_of = [&](const std::string& token, std::size_t i) {
    const auto found = vocabulary.ids.find(token);
    if (found == vocabulary.ids.end()) {
      throw FormatError(vocabulary.file, fmt::format("model.merges[{}]", i),
                        fmt::format("\"{}\" is not in the vocabulary", token));
    }
    return found->second;
  };
  std::vector<Merge> merges;
  std::unordered_set<std::uint64_t> seen;
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const auto& [left, right] = vocabulary.merges[i];
    const Merge merge{id_of(left, i), id_of(right, i), id_of(left + right, i)};
    if (!seen.insert(static_cast<std::uint64_t>(merge.left) << 32 | merge.right).second) {
      throw FormatError(vocabulary.file, fmt::format("model.merges[{}]", i),
                        fmt::format("\"{} {}\" is there twice", left, right));
    }
    // Text must not be able to spell a control token.
    if (control[merge.result] == 0) merges.push_back(merge);
  }
  return merges;
}

void fill_byte_model(const Vocabulary& vocabulary, TokenizerModel& model) {
  model.kind = TokenizerModel::Kind::bytes;
  const auto tokens = in_order(vocabulary);
  model.added = vocabulary.added;
  std::vector<std::uint8_t> control(tokens.size(), 0);
  for (const AddedToken& token : model.added) control[token.id] = 1;
  std::array<std::int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (control[id]) {
      model.tokens.push_back(*tokens[id]);
      continue;
    }
    const auto bytes = from_byte_level(*tokens[id]);
    if (!bytes) {
      throw FormatError(vocabulary.file, fmt::format("model.vocab[\"{}\"]", *tokens[id]),
                        "is not spelled in byte-level characters, and not an added token");
    }
    if (bytes->size() == 1) byte_ids[static_cast<unsigned char>((*bytes)[0])] = id;
    model.tokens.push_back(*bytes);
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_ids[byte] < 0) {
      throw FormatError(vocabulary.file, "model.vocab",
                        fmt::format("no token for the byte 0x{:02x}", byte));
    }
  }
  model.bpe = Bpe(byte_ids, resolve_merges(vocabulary, control));
  model.index_added();
  model.index_whole_pieces();
}

void fill_character_model(const Vocabulary& vocabulary, const std::string& unknown,
                          TokenizerModel& model) {
  model.kind = TokenizerModel::Kind::characters;
  const auto tokens = in_order(vocabulary);
  model.added = vocabulary.added;
  for (const std::string* token : tokens) model.tokens.push_back(*token);
  model.index_added();
  for (std::int32_t id = 0; id < model.tokens.size(); ++id) {
    const std::string& token = *tokens[id];
    const Utf8Step step = utf8_step(token.data(), token.data() + token.size());
    if (token == unknown && model.added_flags[id] == 0) {
      model.unknown = id;
    } else if (model.added_flags[id] == 0) {
      if (static_cast<std::size_t>(step.length) != token.size()) {
        throw FormatError(vocabulary.file, fmt::format("model.vocab[\"{}\"]", token),
                          "a WordLevel vocabulary of more than single characters");
      }
      model.characters[step.code] = id;
    }
  }
}

// Refuses a field whose value is not one of those that leave the encoding alone.
void expect_neutral(const Json& object, const char* field, const std::string& file,
                    std::initializer_list<Json> neutral) {
  const Json* value = find_field(object, field);
  if (value == nullptr || value->is_null()) return;
  if (std::find(neutral.begin(), neutral.end(), *value) == neutral.end()) {
    throw FormatError(file, fmt::format("model.{}", field), "this value is not supported");
  }
}

void read_bpe(const Json& root, const Json& json, Vocabulary& vocabulary, TokenizerModel& model) {
  const std::string& file = vocabulary.file;
  expect_fields(json, "model.", file,
                {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                 "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  expect_neutral(json, "dropout", file, {0.0});
  expect_neutral(json, "continuing_subword_prefix", file, {""});
  expect_neutral(json, "end_of_word_suffix", file, {""});
  expect_neutral(json, "byte_fallback", file, {false});
  model.ignore_merges = get_or<bool>(json, "ignore_merges", file, false);
  read_merges(get<Json>(json, "merges", file), vocabulary);
  read_byte_level_steps(root, file, model);
  fill_byte_model(vocabulary, model);
}

void read_word_level(const Json& root, const Json& json, Vocabulary& vocabulary,
                     TokenizerModel& model) {
  expect_fields(json, "model.", vocabulary.file, {"type", "vocab", "unk_token"});
  check_character_steps(root, vocabulary.file);
  fill_character_model(
      vocabulary, get_or<std::string>(json, "unk_token", vocabulary.file, std::string()), model);
}

// Qwen2 comes in GPT-2's two files too; its configuration tells that they go with another pattern
// and a normalizer.
bool names_qwen2(const std::filesystem::path& config) {
  if (!std::filesystem::exists(config)) return false;
  const Json json = read_json(config);
  return json.is_object() && get_or<std::string>(json, "tokenizer_class", config.string(),
                                                 std::string()) == "Qwen2Tokenizer";
}

// GPT-2's vocab.json and merges.txt, and an added_tokens.json beside them. A token that no merge
// makes, such as <|endoftext|>, is a control token.
std::shared_ptr<TokenizerModel> read_vocab_and_merges(const std::filesystem::path& folder) {
  Vocabulary vocabulary{.file = (folder / "vocab.json").string()};
  read_vocab(read_json(folder / "vocab.json"), "document", vocabulary);
  if (const auto path = folder / "added_tokens.json"; std::filesystem::exists(path)) {
    const Json json = read_json(path);
    if (!json.is_object()) throw FormatError(path.string(), "document", "expected an object");
    for (const auto& [token, id] : json.items()) {
      const std::int32_t value = read_token_id(id, path.string(), token);
      if (token.empty()) throw FormatError(path.string(), "document", "a token is empty");
      if (const auto [known, fresh] = vocabulary.ids.emplace(token, value);
          !fresh && known->second != value) {
        throw FormatError(path.string(), token, "has another id in vocab.json");
      }
    }
  }
  const std::string file = (folder / "merges.txt").string();
  const std::string text = read_file(folder / "merges.txt");
  std::unordered_set<std::string> made;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw FormatError(file, fmt::format("line {}", number),
                        "expected two tokens with one space between");
    }
    vocabulary.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    made.insert(vocabulary.merges.back().first + vocabulary.merges.back().second);
  }
  for (const auto& [token, id] : vocabulary.ids) {
    const auto bytes = from_byte_level(token);
    if (!(bytes && bytes->size() == 1) && !made.contains(token)) {
      vocabulary.added.push_back({.id = id, .content = token});
    }
  }
  std::sort(vocabulary.added.begin(), vocabulary.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  auto model = std::make_shared<TokenizerModel>();
  const bool qwen2 = names_qwen2(folder / "tokenizer_config.json");
  model->splits.push_back({.pattern = qwen2 ? Pattern::qwen2 : Pattern::gpt2});
  model->compose = qwen2;
  fill_byte_model(vocabulary, *model);
  return model;
}

void read_config(const std::filesystem::path& path, TokenizerModel& model) {
  if (!std::filesystem::exists(path)) return;
  const std::string file = path.string();
  const Json config = read_json(path);
  if (!config.is_object()) throw FormatError(file, "document", "expected an object");
  const auto role = [&](const char* field) -> std::optional<std::int32_t> {
    const Json* value = find_field(config, field);
    if (value == nullptr || value->is_null() || value->is_boolean()) return std::nullopt;
    const std::string content = value->is_object() ? get<std::string>(*value, "content", file)
                                                   : get<std::string>(config, field, file);
    const auto found = model.added_by_content.find(content);
    if (found == model.added_by_content.end()) {
      throw FormatError(file, field,
                        fmt::format("\"{}\" is not an added token of the tokenizer", content));
    }
    return found->second;
  };
  model.bos = role("bos_token");
  model.eos = role("eos_token");
  model.pad = role("pad_token");
}

// The SentencePiece model of a folder without tokenizer.json; tokenizer.json where it has none,
// which then is what is missing.
std::filesystem::path model_in(const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (std::filesystem::exists(folder / name)) return folder / name;
  }
  return folder / "tokenizer.json";
}

}  // namespace

std::shared_ptr<TokenizerModel> tokenizer_from_json(const Json& root, const std::string& file) {
  Vocabulary vocabulary{.file = file};
  if (!root.is_object()) throw FormatError(file, "document", "expected an object");
  expect_fields(root, "", file,
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                 "post_processor", "decoder", "model"});
  const auto version = get_or<std::string>(root, "version", file, "1.0");
  if (version != "1.0") {
    throw FormatError(file, "version", fmt::format("\"{}\" where 1.0 is supported", version));
  }
  const Json& json = *[&] {
    const Json* model = find_field(root, "model");
    if (model == nullptr || !model->is_object()) {
      throw FormatError(file, "model", "expected an object");
    }
    return model;
  }();
  auto model = std::make_shared<TokenizerModel>();
  if (needs_pipeline(root)) {
    read_pipeline(root, vocabulary, *model);
    return model;
  }
  const Json* vocab = find_field(json, "vocab");
  if (vocab == nullptr) throw FormatError(file, "model.vocab", "missing");
  const auto type = get_or<std::string>(json, "type", file, json.contains("merges") ? "BPE" : "");
  if (type != "BPE" && type != "WordLevel") {
    throw FormatError(file, "model.type",
                      fmt::format("\"{}\" where BPE and WordLevel are supported", type));
  }
  read_vocab(*vocab, "model.vocab", vocabulary);
  if (const Json* added = find_field(root, "added_tokens"); added && !added->is_null()) {
    read_added(*added, vocabulary);
  }
  if (type == "BPE") {
    read_bpe(root, json, vocabulary, *model);
  } else {
    read_word_level(root, json, vocabulary, *model);
  }
  return model;
}

std::shared_ptr<const TokenizerModel> load_tokenizer(const std::filesystem::path& path) {
  const bool is_folder = std::filesystem::is_directory(path);
  const std::filesystem::path folder = is_folder ? path : parent_folder(path);
  const std::filesystem::path file = is_folder ? path / "tokenizer.json" : path;
  const bool pair =
      is_folder && !std::filesystem::exists(file) && std::filesystem::exists(folder / "vocab.json");
  auto model = pair                           ? read_vocab_and_merges(folder)
               : path.extension() == ".model" ? read_sentencepiece(path)
               : is_folder && !std::filesystem::exists(file)
                   ? read_sentencepiece(model_in(folder))
                   : tokenizer_from_json(read_json(file), file.string());
  read_config(folder / "tokenizer_config.json", *model);
  return model;
}

}  // namespace stepstone
