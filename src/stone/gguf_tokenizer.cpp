#include "stone/gguf_tokenizer.h"

#include "io/atomic_file.h"
#include "io/json.h"
#include "io/temporary.h"
#include "io/utf8.h"
#include "tokenizer/pre_tokenizer.h"

namespace stepstone {
namespace {

// tokenizer.ggml.token_type
constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

struct PreTokenizer {
  std::string_view name;  // tokenizer.ggml.pre
  Pattern pattern;
  bool ignore_merges = false;
};
// The first of a kind is the name that is written.
constexpr PreTokenizer kPreTokenizers[] = {
    {"gpt-2", Pattern::gpt2},
    {"dbrx", Pattern::cl100k},
    {"llama-bpe", Pattern::cl100k, true},
    {"qwen2", Pattern::qwen2},
    {"smaug-bpe", Pattern::cl100k},
    {"llama3", Pattern::cl100k, true},
    {"llama-v3", Pattern::cl100k, true},
    {"deepseek-r1-qwen", Pattern::qwen2},
};

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer_json(Pattern pattern) {
  if (pattern == Pattern::gpt2) return byte_level(true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", std::string(pattern_regex(pattern))}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

const PreTokenizer& pre_tokenizer_of(const GgufFile& file) {
  constexpr const char* kKey = "tokenizer.ggml.pre";
  const auto name = file.get_or<std::string>(kKey, "gpt-2");
  for (const PreTokenizer& known : kPreTokenizers) {
    if (known.name == name) return known;
  }
  file.fail(kKey, fmt::format("\"{}\" is not known", name));
}

std::string token_text(std::string_view text, const GgufFile& file) {
  if (!is_utf8(text)) file.fail("tokenizer.ggml.tokens", "a token is not UTF-8 text");
  return std::string(text);
}

Json tokenizer_json(const GgufFile& file) {
  if (const auto model = file.get<std::string>("tokenizer.ggml.model"); model != "gpt2") {
    file.fail("tokenizer.ggml.model",
              fmt::format("\"{}\" is not byte-level BPE; a folder with a tokenizer.json can be "
                          "loaded instead",
                          model));
  }
  const PreTokenizer& pre = pre_tokenizer_of(file);
  auto tokens = file.strings("tokenizer.ggml.tokens");
  const auto types =
      file.get_or("tokenizer.ggml.token_type", std::vector<std::int32_t>(tokens.size(), kNormal));
  if (types.size() != tokens.size()) {
    file.fail("tokenizer.ggml.token_type", "is not as long as the list of tokens");
  }
  // Names for rows of the model that no text can give.
  while (!tokens.empty() && types[tokens.size() - 1] == kUnused) tokens.pop_back();
  Json vocab = Json::object(), added = Json::array(), merges = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string text = token_text(tokens[id], file);
    if (!vocab.emplace(text, id).second) {
      file.fail("tokenizer.ggml.tokens", fmt::format("token {} stands twice", id));
    }
    if (types[id] == kNormal) continue;
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", types[id] != kUserDefined}});
  }
  for (const std::string_view merge : file.strings("tokenizer.ggml.merges")) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      file.fail("tokenizer.ggml.merges", "a merge without a space between its two tokens");
    }
    merges.push_back(
        {token_text(merge.substr(0, space), file), token_text(merge.substr(space + 1), file)});
  }
  Json model = {{"type", "BPE"},     {"dropout", nullptr},     {"unk_token", nullptr},
                {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", pre.ignore_merges},
                {"vocab", vocab},    {"merges", merges}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer_json(pre.pattern)},
          {"post_processor", nullptr},
          {"decoder", byte_level(true)},
          {"model", model}};
}

Json tokenizer_config(const GgufFile& file) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  const auto role = [&](const char* key, const char* field) {
    const std::string name = fmt::format("tokenizer.ggml.{}_token_id", key);
    if (!file.has(name)) return;
    const auto id = file.get<std::uint32_t>(name);
    if (id >= tokens.size()) file.fail(name, fmt::format("there is no token {}", id));
    config[field] = token_text(tokens[id], file);
  };
  role("bos", "bos_token");
  role("eos", "eos_token");
  role("padding", "pad_token");
  return config;
}

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

// `json`: as Tokenizer::save wrote it.
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

// A folder for files that only pass through.
class Scratch {
 public:
  Scratch()
      : folder_(create_temporary_folder(std::filesystem::temp_directory_path() /
                                        "stepstone-tokenizer")) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_.path, ignored);
  }
  const std::filesystem::path& path() const { return folder_.path; }

 private:
  Temporary folder_;
};

}  // namespace

Tokenizer read_gguf_tokenizer(const GgufFile& file) {
  const Scratch scratch;
  write_file(scratch.path() / "tokenizer.json", dump_json(tokenizer_json(file)));
  write_file(scratch.path() / "tokenizer_config.json", dump_json(tokenizer_config(file)));
  return Tokenizer::load(scratch.path());
}

void write_gguf_tokenizer(const Tokenizer& tokenizer, std::int64_t vocab_size,
                          const std::string& chat_template, GgufWriter& writer) {
  const Scratch scratch;
  tokenizer.save(scratch.path());
  const Json json = read_json(scratch.path() / "tokenizer.json");
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
