#include "stone/gguf_tokenizer.h"

#include "io/json.h"
#include "io/utf8.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace stepstone {
namespace {

// tokenizer.ggml.token_type
constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

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
  require<UsageError>(json.at("model").value("type", "") == "BPE" &&
                          !json.at("model").value("byte_fallback", false),
                      "gguf: only byte-level BPE tokenizers can be written");
  const Vocabulary v = vocabulary(json, vocab_size);
  std::vector<std::string> merges;
  for (const Json& merge : json.at("model").at("merges")) {
    merges.push_back(merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  writer.set("tokenizer.ggml.model", "gpt2");
  writer.set("tokenizer.ggml.pre", pre_name(json));
  writer.set("tokenizer.ggml.tokens", v.tokens);
  writer.set("tokenizer.ggml.token_type", v.types);
  writer.set("tokenizer.ggml.merges", merges);
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
