#include <algorithm>
#include <set>

#include "core/error.h"
#include "io/json.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/vocabulary.h"

namespace stepstone {
namespace {

// What a decoder does to the bytes of each token, and to the ends of the text.
struct Decoding {
  std::vector<TextStep> token_steps;
  bool byte_fallback = false, byte_level = false;
  std::string strip_start, strip_end;
  std::size_t strip_start_count = 0;
};

void decode_word_piece(std::string& token, const std::string& prefix, bool cleanup) {
  if (token.starts_with(prefix)) {
    token.erase(0, prefix.size());
  } else {
    token.insert(0, 1, ' ');
  }
  if (!cleanup) return;
  static constexpr std::pair<std::string_view, std::string_view> kCleanup[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kCleanup) token = replaced(token, from, to);
}

void read_decoder(const Json& json, const std::string& field, const std::string& file,
                  Decoding& out) {
  const auto add = [&](auto change) {
    out.token_steps.push_back(limited(file, field, std::move(change)));
  };
  if (json.is_null()) {  // tokens with a space between
    add([](std::string& token, const TextLimit&) { token.insert(0, 1, ' '); });
    out.strip_start = std::string(1, ' ');
    out.strip_start_count = 1;
    return;
  }
  if (!json.is_object()) throw FormatError(file, field, "expected an object or null");
  const auto type = get<std::string>(json, "type", file);
  if (type == "Sequence") {
    const Json* const parts = find_field(json, "decoders");
    if (parts == nullptr || !parts->is_array()) {
      throw FormatError(file, field + ".decoders", "expected an array");
    }
    for (std::size_t i = 0; i < parts->size(); ++i) {
      read_decoder((*parts)[i], fmt::format("{}.decoders[{}]", field, i), file, out);
    }
  } else if (type == "ByteFallback") {
    out.byte_fallback = true;
  } else if (type == "ByteLevel") {
    out.byte_level = true;
  } else if (type == "Replace") {
    const Json* const pattern = find_field(json, "pattern");
    if (pattern == nullptr || !pattern->is_object() || !pattern->contains("String")) {
      throw FormatError(file, field + ".pattern", "expected {\"String\": …}");
    }
    add([from = get<std::string>(*pattern, "String", file),
         to = get<std::string>(json, "content", file)](std::string& token, const TextLimit& limit) {
      token = replaced(token, from, to, limit);
    });
  } else if (type == "Metaspace") {
    const auto mark = get_or<std::string>(json, "replacement", file, "\u2581");
    const bool old_prefix = get_or<bool>(json, "add_prefix_space", file, true);
    const auto scheme =
        get_or<std::string>(json, "prepend_scheme", file, old_prefix ? "always" : "never");
    add([mark](std::string& token, const TextLimit&) { token = replaced(token, mark, " "); });
    out.strip_start = std::string(1, ' ');
    out.strip_start_count = scheme == "never" ? 0 : 1;
  } else if (type == "Strip") {
    out.strip_start = get<std::string>(json, "content", file);
    out.strip_start_count = get<std::size_t>(json, "start", file);
    if (get<std::size_t>(json, "stop", file) != 0) {
      throw FormatError(file, field + ".stop", "a value other than 0 is not supported");
    }
  } else if (type == "WordPiece") {
    add([prefix = get_or<std::string>(json, "prefix", file, "##"),
         cleanup = get_or<bool>(json, "cleanup", file, true)](
            std::string& token, const TextLimit&) { decode_word_piece(token, prefix, cleanup); });
    out.strip_start = std::string(1, ' ');
    out.strip_start_count = 1;
  } else if (type == "BPEDecoder") {
    add([suffix = get_or<std::string>(json, "suffix", file, "</w>")](
            std::string& token, const TextLimit&) { token = replaced(token, suffix, " "); });
    out.strip_end = std::string(1, ' ');
  } else if (type != "Fuse") {
    throw FormatError(file, field + ".type", fmt::format("\"{}\" is not supported", type));
  }
}

// Bytes that a token may stand for: decoders take away and put a space in.
std::size_t most_bytes_of(const std::string& token) { return 256 + 16 * token.size(); }

std::string decoded(const std::string& token, const Decoding& decoding, bool control) {
  const auto byte = decoding.byte_fallback && !control ? byte_of_token(token) : std::nullopt;
  if (byte) return {static_cast<char>(*byte)};
  if (decoding.byte_level && !control) {
    if (const auto bytes = from_byte_level(token)) return *bytes;
  }
  std::string text = token;
  for (const TextStep& step : decoding.token_steps) step(text, most_bytes_of(token));
  return text;
}

// The ids of one item of a TemplateProcessing or of a ["[SEP]", 102].
std::int32_t named_id(const Vocabulary& vocabulary, const std::string& token,
                      const std::string& field) {
  const auto found = vocabulary.ids.find(token);
  if (found == vocabulary.ids.end()) {
    throw FormatError(vocabulary.file, field, fmt::format("\"{}\" is not a token", token));
  }
  return found->second;
}

void read_post_processor(const Json& json, const std::string& field, const Vocabulary& vocabulary,
                         TokenizerModel& model) {
  const std::string& file = vocabulary.file;
  if (json.is_null()) return;
  if (!json.is_object()) throw FormatError(file, field, "expected an object or null");
  const auto type = get<std::string>(json, "type", file);
  if (type == "Sequence") {
    const Json* const parts = find_field(json, "processors");
    if (parts == nullptr || !parts->is_array()) {
      throw FormatError(file, field + ".processors", "expected an array");
    }
    for (const Json& part : *parts) read_post_processor(part, field, vocabulary, model);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    for (const char* name : {"cls", "sep"}) {
      const Json* const pair = find_field(json, name);
      if (pair == nullptr || !pair->is_array() || pair->size() != 2 || !(*pair)[0].is_string()) {
        throw FormatError(file, fmt::format("{}.{}", field, name), "expected [token, id]");
      }
      const std::int32_t id = named_id(vocabulary, (*pair)[0].get<std::string>(), field);
      (name[0] == 'c' ? model.before_text : model.after_text).push_back(id);
    }
  } else if (type == "TemplateProcessing") {
    const Json* const single = find_field(json, "single");
    if (single == nullptr || !single->is_array()) {
      throw FormatError(file, field + ".single", "expected an array");
    }
    bool after = false;
    for (const Json& item : *single) {
      if (!item.is_object()) throw FormatError(file, field + ".single", "expected objects");
      if (item.contains("Sequence")) {
        after = true;
        continue;
      }
      const auto name = get<std::string>(item, "/SpecialToken/id", file);
      (after ? model.after_text : model.before_text).push_back(named_id(vocabulary, name, field));
    }
  } else if (type != "ByteLevel") {
    throw FormatError(file, field + ".type", fmt::format("\"{}\" is not supported", type));
  }
}

std::optional<std::int32_t> token_named(const Json& json, const char* field,
                                        const Vocabulary& vocabulary) {
  const auto name = get_or<std::string>(json, field, vocabulary.file, "");
  if (name.empty()) return std::nullopt;
  return named_id(vocabulary, name, fmt::format("model.{}", field));
}

std::optional<std::array<std::int32_t, 256>> byte_tokens(const Vocabulary& vocabulary) {
  std::array<std::int32_t, 256> ids{};
  for (int byte = 0; byte < 256; ++byte) {
    ids[static_cast<std::size_t>(byte)] =
        named_id(vocabulary, fmt::format("<0x{:02X}>", byte), "model.byte_fallback");
  }
  return ids;
}

std::unique_ptr<const SubwordModel> read_bpe_model(const Json& json, const Vocabulary& vocabulary,
                                                   const std::vector<std::string>& tokens) {
  const std::string& file = vocabulary.file;
  expect_fields(json, "model.", file,
                {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                 "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (get_or<double>(json, "dropout", file, 0) != 0) {
    throw FormatError(file, "model.dropout", "a value other than 0 is not supported");
  }
  SymbolBpe::Options options;
  options.prefix = get_or<std::string>(json, "continuing_subword_prefix", file, "");
  options.suffix = get_or<std::string>(json, "end_of_word_suffix", file, "");
  options.ignore_merges = get_or<bool>(json, "ignore_merges", file, false);
  options.unknowns.unk = token_named(json, "unk_token", vocabulary);
  options.unknowns.fuse = get_or<bool>(json, "fuse_unk", file, false);
  if (get_or<bool>(json, "byte_fallback", file, false)) {
    options.unknowns.bytes = byte_tokens(vocabulary);
  }
  std::vector<SymbolMerge> merges;
  std::set<std::pair<std::int32_t, std::int32_t>> seen;
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const auto& [left, right] = vocabulary.merges[i];
    const std::string field = fmt::format("model.merges[{}]", i);
    const std::string joined =
        left + (right.starts_with(options.prefix) ? right.substr(options.prefix.size()) : right);
    const SymbolMerge merge{named_id(vocabulary, left, field), named_id(vocabulary, right, field),
                            named_id(vocabulary, joined, field), static_cast<std::uint32_t>(i)};
    if (!seen.insert({merge.left, merge.right}).second) {
      throw FormatError(file, field, fmt::format("\"{} {}\" is there twice", left, right));
    }
    const bool text = !tokens[static_cast<std::size_t>(merge.result)].empty();
    if (text) merges.push_back(merge);  // text must not be able to spell a control token
  }
  return std::make_unique<SymbolBpe>(tokens, merges, std::vector<std::int32_t>(),
                                     std::move(options));
}

std::unique_ptr<const SubwordModel> read_unigram(const Json& json, const Vocabulary& vocabulary,
                                                 const std::vector<std::string>& tokens) {
  const std::string& file = vocabulary.file;
  expect_fields(json, "model.", file, {"type", "unk_id", "vocab", "byte_fallback"});
  const Json& list = *find_field(json, "vocab");
  std::vector<double> scores(tokens.size(), 0);
  double least = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    scores[i] = list[i][1].get<double>();
    least = i == 0 ? scores[i] : std::min(least, scores[i]);
  }
  Unknowns unknowns{.unk = std::nullopt, .fuse = true, .bytes = std::nullopt};
  if (const Json* const id = find_field(json, "unk_id"); id != nullptr && !id->is_null()) {
    unknowns.unk = read_token_id(*id, file, "model.unk_id");
    if (static_cast<std::size_t>(*unknowns.unk) >= list.size()) {
      throw FormatError(file, "model.unk_id", "is no token of the vocabulary");
    }
  }
  if (get_or<bool>(json, "byte_fallback", file, false)) unknowns.bytes = byte_tokens(vocabulary);
  return std::make_unique<Unigram<double>>(tokens, std::move(scores), least,
                                           std::vector<std::int32_t>(), std::move(unknowns));
}

std::unique_ptr<const SubwordModel> read_word_piece(const Json& json, const Vocabulary& vocabulary,
                                                    const std::vector<std::string>& tokens) {
  const std::string& file = vocabulary.file;
  expect_fields(
      json, "model.", file,
      {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  const auto unk = token_named(json, "unk_token", vocabulary);
  if (!unk) throw FormatError(file, "model.unk_token", "missing");
  return std::make_unique<WordPiece>(
      tokens, get_or<std::string>(json, "continuing_subword_prefix", file, "##"), *unk,
      get_or<std::size_t>(json, "max_input_chars_per_word", file, 100));
}

void read_unigram_vocab(const Json& list, Vocabulary& out) {
  if (!list.is_array()) throw FormatError(out.file, "model.vocab", "expected an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string field = fmt::format("model.vocab[{}]", i);
    if (!list[i].is_array() || list[i].size() != 2 || !list[i][0].is_string() ||
        !list[i][1].is_number()) {
      throw FormatError(out.file, field, "expected [token, score]");
    }
    const auto token = list[i][0].get<std::string>();
    if (token.empty()) throw FormatError(out.file, field, "the token is the empty string");
    if (!out.ids.emplace(token, static_cast<std::int32_t>(i)).second) {
      throw FormatError(out.file, field, fmt::format("\"{}\" is there twice", token));
    }
  }
}

// The types of a component, or of the parts of its Sequence.
std::vector<std::string> types_of(const Json* json, const char* list) {
  if (json == nullptr || !json->is_object()) return {};
  const Json* const parts = find_field(*json, list);
  std::vector<std::string> types;
  if (parts != nullptr && parts->is_array()) {
    for (const Json& part : *parts) {
      for (std::string& type : types_of(&part, list)) types.push_back(std::move(type));
    }
  } else if (const Json* const type = find_field(*json, "type"); type && type->is_string()) {
    types.push_back(type->get<std::string>());
  }
  return types;
}

bool are_among(const std::vector<std::string>& types, const std::set<std::string>& known) {
  return std::all_of(types.begin(), types.end(),
                     [&](const std::string& type) { return known.contains(type); });
}

}  // namespace

std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int byte = 0;
  for (const char digit : token.substr(3, 2)) {
    const bool number = digit >= '0' && digit <= '9';
    if (!number && (digit < 'A' || digit > 'F')) return std::nullopt;
    byte = byte * 16 + (number ? digit - '0' : digit - 'A' + 10);
  }
  return static_cast<unsigned char>(byte);
}

bool needs_pipeline(const Json& root) {
  const Json* const model = find_field(root, "model");
  const Json* const type = model ? find_field(*model, "type") : nullptr;
  if (type != nullptr && (*type == "Unigram" || *type == "WordPiece")) return true;
  if (model == nullptr || !model->contains("merges")) return false;
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* const value = find_field(*model, field);
    if (value != nullptr && value->is_string() && *value != "") return true;
  }
  const auto cuts = types_of(find_field(root, "pre_tokenizer"), "pretokenizers");
  const auto forms = types_of(find_field(root, "normalizer"), "normalizers");
  const bool byte_level = !cuts.empty() && cuts.back() == "ByteLevel";
  return !byte_level || !are_among(cuts, {"Split", "Digits", "ByteLevel"}) ||
         !are_among(forms, {"NFC"});
}

void read_pipeline(const Json& root, Vocabulary& vocabulary, TokenizerModel& model) {
  const std::string& file = vocabulary.file;
  const Json& json = *find_field(root, "model");
  const auto type = get_or<std::string>(json, "type", file, "BPE");
  const Json* const vocab = find_field(json, "vocab");
  if (vocab == nullptr) throw FormatError(file, "model.vocab", "missing");
  if (type == "Unigram") {
    read_unigram_vocab(*vocab, vocabulary);
  } else {
    read_vocab(*vocab, "model.vocab", vocabulary);
  }
  if (const Json* added = find_field(root, "added_tokens"); added && !added->is_null()) {
    read_added(*added, vocabulary);
  }
  if (type == "BPE") read_merges(get<Json>(json, "merges", file), vocabulary);
  const Json null;
  const auto part = [&](const char* field) -> const Json& {
    const Json* const value = find_field(root, field);
    return value ? *value : null;
  };
  Decoding decoding;
  read_decoder(part("decoder"), "decoder", file, decoding);
  const auto ordered = in_order(vocabulary);
  model.kind = TokenizerModel::Kind::pipeline;
  model.added = vocabulary.added;
  std::vector<std::uint8_t> control(ordered.size(), 0);
  for (const AddedToken& token : model.added) control[static_cast<std::size_t>(token.id)] = 1;
  std::vector<std::string> tokens;  // what text may give
  for (std::size_t id = 0; id < ordered.size(); ++id) {
    tokens.push_back(control[id] ? std::string() : *ordered[id]);
    model.tokens.push_back(decoded(*ordered[id], decoding, control[id] != 0));
  }
  auto pipeline = std::make_shared<Pipeline>();
  pipeline->text_steps = read_normalizer(part("normalizer"), "normalizer", file);
  pipeline->piece_steps = read_piece_steps(part("pre_tokenizer"), "pre_tokenizer", file);
  pipeline->model = type == "BPE"       ? read_bpe_model(json, vocabulary, tokens)
                    : type == "Unigram" ? read_unigram(json, vocabulary, tokens)
                                        : read_word_piece(json, vocabulary, tokens);
  pipeline->strip_start = decoding.strip_start;
  pipeline->strip_start_count = decoding.strip_start_count;
  pipeline->strip_end = decoding.strip_end;
  pipeline->source = dump_json(root);
  model.pipeline = std::move(pipeline);
  read_post_processor(part("post_processor"), "post_processor", vocabulary, model);
  model.index_added();
}

}  // namespace stepstone
