#include "stone/gguf_tokenizer.h"

#include <unordered_map>

#include "io/json.h"
#include "io/utf8.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace stepstone {
namespace {

// tokenizer.ggml.token_type
constexpr std::int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5,
                       kByte = 6;
constexpr const char* kWordStart = "\u2581";

// What is written as tokenizer.ggml.pre.
struct PreTokenizer {
  std::string_view name;
  Pattern pattern;
  bool ignore_merges = false;
};
constexpr PreTokenizer kPreTokenizers[] = {
    {"gpt-2", Pattern::gpt2},
    {"dbrx", Pattern::cl100k},
    {"llama-bpe", Pattern::cl100k, true},
    {"qwen2", Pattern::qwen2},
};

// The pattern that a pre-tokenizer of tokenizer.json splits by; empty when it is none of ours.
std::optional<Pattern> pattern_of(const Json& pre) {
  if (!pre.is_object()) return {};
  if (pre.value("type", "") == "ByteLevel") {
    return pre.value("use_regex", true) ? Pattern::gpt2 : Pattern::none;
  }
  const Json* parts = find_field(pre, "pretokenizers");
  if (parts == nullptr || !parts->is_array() || parts->size() != 2) return {};
  const Json* regex = find_field((*parts)[0], "/pattern/Regex");
  if (regex == nullptr || !regex->is_string()) return {};
  return recognise_pattern(regex->get_ref<const std::string&>());
}

std::string pre_name(const Json& json) {
  const auto pattern = pattern_of(json.at("pre_tokenizer"));
  const bool ignore_merges = json.at("model").value("ignore_merges", false);
  for (const PreTokenizer& known : kPreTokenizers) {
    if (pattern == known.pattern && ignore_merges == known.ignore_merges) {
      return std::string(known.name);
    }
  }
  // Without merges every byte is a token, however the text is split.
  if (json.at("model").at("merges").empty()) return "gpt-2";
  throw UsageError("gguf: the tokenizer splits text by a pattern that has no name there");
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
};

// `json`: a tokenizer.json.
Vocabulary vocabulary(const Json& json, std::int64_t size) {
  Vocabulary v;
  for (std::int64_t id = 0; id < size; ++id) v.tokens.push_back(fmt::format("[PAD{}]", id));
  v.types.assign(v.tokens.size(), kUnused);
  const auto put = [&](std::int64_t id, const std::string& text, std::int32_t type) {
    require(id >= 0 && id < size, "gguf: token {} is not among the model's {}", id, size);
    v.tokens[static_cast<std::size_t>(id)] = text;
    v.types[static_cast<std::size_t>(id)] = type;
  };
  for (const auto& [text, id] : json.at("model").at("vocab").items()) {
    put(id.get<std::int64_t>(), text, kNormal);
  }
  for (const Json& token : json.at("added_tokens")) {
    put(token.at("id").get<std::int64_t>(), token.at("content").get<std::string>(),
        token.at("special").get<bool>() ? kControl : kUserDefined);
  }
  return v;
}

// Whether a BPE of SentencePiece puts a space before the text; nothing when it treats spaces in a
// way that GGUF cannot say.
std::optional<bool> adds_space(const Json& json) {
  const Json to_mark = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kWordStart}};
  const Json prefix = {{"type", "Prepend"}, {"prepend", kWordStart}};
  const Json sequence = {{"type", "Sequence"}, {"normalizers", {prefix, to_mark}}};
  const Json only_mark = {{"type", "Sequence"}, {"normalizers", {to_mark}}};
  const Json normalizer = json.value("normalizer", Json()),
             pre = json.value("pre_tokenizer", Json());
  if (pre.is_null() && normalizer == sequence) return true;
  if (pre.is_null() && (normalizer == only_mark || normalizer == to_mark)) return false;
  if (normalizer.is_null() && pre.is_object() && pre.value("type", "") == "Metaspace" &&
      pre.value("replacement", "") == kWordStart && !pre.value("split", true)) {
    return pre.value("prepend_scheme", "always") != "never";
  }
  return std::nullopt;
}

// Scores in the order of the merges, types by what the tokens are.
void write_sentencepiece(const Json& json, Vocabulary v, GgufWriter& writer) {
  const auto add_space = adds_space(json);
  require<UsageError>(add_space.has_value(),
                      "gguf: the tokenizer treats spaces in a way that has no name there");
  const Json& model = json.at("model");
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < v.tokens.size(); ++id) ids.emplace(v.tokens[id], id);
  const Json& merges = model.at("merges");
  std::vector<float> scores(v.tokens.size(), -static_cast<float>(merges.size() + 1));
  for (std::size_t rank = merges.size(); rank-- > 0;) {
    const auto made = merges[rank].is_string() ? merges[rank].get<std::string>()
                                               : merges[rank].at(0).get<std::string>() + " " +
                                                     merges[rank].at(1).get<std::string>();
    const auto space = made.find(' ');
    const auto found = ids.find(made.substr(0, space) + made.substr(space + 1));
    if (found != ids.end()) scores[found->second] = -static_cast<float>(rank);
  }
  const Json unknown = model.value("unk_token", Json());
  for (std::size_t id = 0; id < v.tokens.size(); ++id) {
    const std::string& token = v.tokens[id];
    const bool byte = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
    if (v.types[id] == kNormal && byte) v.types[id] = kByte;
    if (unknown == token) v.types[id] = kUnknown;
  }
  writer.set("tokenizer.ggml.model", "llama");
  writer.set("tokenizer.ggml.tokens", v.tokens);
  writer.set("tokenizer.ggml.scores", scores);
  writer.set("tokenizer.ggml.token_type", v.types);
  writer.set("tokenizer.ggml.add_space_prefix", *add_space);
}

void write_byte_level(const Json& json, const Vocabulary& v, GgufWriter& writer) {
  std::vector<std::string> merges;
  for (const Json& merge : json.at("model").at("merges")) {
    merges.push_back(merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  writer.set("tokenizer.ggml.model", "gpt2");
  writer.set("tokenizer.ggml.pre", pre_name(json));
  writer.set("tokenizer.ggml.tokens", v.tokens);
  writer.set("tokenizer.ggml.token_type", v.types);
  writer.set("tokenizer.ggml.merges", merges);
}

}  // namespace

Tokenizer read_gguf_tokenizer(const GgufFile& file) {
  const auto key = [](const char* name) { return fmt::format("tokenizer.ggml.{}", name); };
  const auto id = [&](const char* name) -> std::optional<std::uint32_t> {
    if (!file.has(key(name))) return std::nullopt;
    return file.get<std::uint32_t>(key(name));
  };
  const auto texts = [&](const char* name) {
    std::vector<std::string> out;
    if (!file.has(key(name))) return out;
    for (const std::string_view text : file.strings(key(name))) {
      if (!is_utf8(text)) file.fail(key(name), "holds what is not UTF-8 text");
      out.emplace_back(text);
    }
    return out;
  };
  GgufVocabulary v;
  v.file = file.file();
  v.model = file.get<std::string>(key("model"));
  v.pre = file.get_or<std::string>(key("pre"), v.model == "gpt2" ? "gpt-2" : "");
  v.tokens = texts("tokens");
  v.merges = texts("merges");
  v.scores = file.get_or(key("scores"), std::vector<float>());
  v.token_type = file.get_or(key("token_type"), std::vector<std::int32_t>());
  if (file.get_or(key("add_bos_token"), true)) v.bos_id = id("bos_token_id");
  v.eos_id = id("eos_token_id");
  v.unknown_id = id("unknown_token_id");
  v.padding_id = id("padding_token_id");
  v.add_space_prefix = file.get_or(key("add_space_prefix"), true);
  // Names for rows of the model that no text can give.
  if (v.token_type.size() == v.tokens.size()) {
    while (!v.tokens.empty() && v.token_type.back() == kUnused) {
      v.tokens.pop_back();
      v.token_type.pop_back();
      if (v.scores.size() > v.tokens.size()) v.scores.pop_back();
    }
  }
  return Tokenizer(read_gguf_vocabulary(v));
}

void write_gguf_tokenizer(const Tokenizer& tokenizer, std::int64_t vocab_size,
                          const std::string& chat_template, GgufWriter& writer) {
  const Json json = parse_json(tokenizer_json(tokenizer.model()), "tokenizer.json");
  const Json& model = json.at("model");
  require<UsageError>(model.value("type", "") == "BPE",
                      "gguf: only BPE tokenizers, byte-level or of SentencePiece, can be written");
  if (model.value("byte_fallback", false)) {
    write_sentencepiece(json, vocabulary(json, vocab_size), writer);
  } else {
    const Json decoder = json.value("decoder", Json());
    require<UsageError>(decoder.is_object() && decoder.value("type", "") == "ByteLevel",
                        "gguf: a BPE tokenizer must be byte-level, or fall back to bytes");
    write_byte_level(json, vocabulary(json, vocab_size), writer);
  }
  const auto role = [&](const char* key, std::optional<std::int32_t> id) {
    if (id) {
      writer.set(fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<std::uint32_t>(*id));
    }
  };
  role("bos", tokenizer.bos());
  role("eos", tokenizer.eos());
  role("padding", tokenizer.pad());
  writer.set("tokenizer.ggml.add_bos_token", tokenizer.bos().has_value());
  if (!chat_template.empty()) writer.set("tokenizer.chat_template", chat_template);
}

}  // namespace stepstone
