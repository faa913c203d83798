#include "tokenizer/gguf_vocabulary.h"

#include <map>

#include "core/error.h"
#include "io/json.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

enum TokenType : std::int32_t { kUnknown = 2, kControl = 3, kUserDefined = 4 };

Json regex_split(std::string_view regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", std::string(regex)}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

// The steps before ByteLevel for each name that files use.
Json cuts_of(const GgufVocabulary& vocabulary) {
  static const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  static const std::map<std::string, Json> known = [] {
    const Json gpt2 = Json::array({regex_split(pattern_regex(Pattern::gpt2))});
    const Json cl100k = Json::array({regex_split(pattern_regex(Pattern::cl100k))});
    const Json qwen2 = Json::array({regex_split(pattern_regex(Pattern::qwen2))});
    const Json with_digits = Json::array({digits, regex_split(pattern_regex(Pattern::gpt2))});
    std::map<std::string, Json> names;
    for (const char* name : {"", "default", "gpt-2", "phi-2", "olmo", "mpt", "jais"})
      names[name] = gpt2;
    for (const char* name :
         {"llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}) {
      names[name] = cl100k;
    }
    for (const char* name : {"qwen2", "stablelm2", "deepseek-r1-qwen", "hunyuan"})
      names[name] = qwen2;
    for (const char* name : {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"}) {
      names[name] = with_digits;
    }
    return names;
  }();
  const auto found = known.find(vocabulary.pre);
  if (found == known.end()) {
    throw FormatError(vocabulary.file, "tokenizer.ggml.pre",
                      fmt::format("\"{}\" is not a pre-tokenizer known here", vocabulary.pre));
  }
  return found->second;
}

std::int32_t type_of(const GgufVocabulary& vocabulary, std::size_t id) {
  return vocabulary.token_type.empty() ? 1 : vocabulary.token_type[id];
}

Json added_tokens(const GgufVocabulary& vocabulary) {
  Json list = Json::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t type = type_of(vocabulary, id);
    if (type != kControl && type != kUserDefined) continue;
    list.push_back({{"id", id},
                    {"content", vocabulary.tokens[id]},
                    {"special", type == kControl},
                    {"normalized", false}});
  }
  return list;
}

// The tokens with their ids; `spelling` says how the file that the vocabulary came from wrote them.
template <typename F>
Json vocab_json(const GgufVocabulary& vocabulary, F&& spelling) {
  Json vocab = Json::object();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string token = spelling(id);
    if (!vocab.emplace(token, id).second) {
      throw FormatError(vocabulary.file, fmt::format("tokenizer.ggml.tokens[{}]", id),
                        fmt::format("\"{}\" is there twice", token));
    }
  }
  return vocab;
}

Json byte_level_json(const GgufVocabulary& vocabulary) {
  Json cuts = cuts_of(vocabulary);
  cuts.push_back({{"type", "ByteLevel"},
                  {"add_prefix_space", false},
                  {"trim_offsets", false},
                  {"use_regex", false}});
  const bool llama3 = vocabulary.pre.starts_with("llama");
  return {
      {"version", "1.0"},
      {"added_tokens", added_tokens(vocabulary)},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", cuts}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"ignore_merges", llama3},
        {"vocab", vocab_json(vocabulary, [&](std::size_t id) { return vocabulary.tokens[id]; })},
        {"merges", vocabulary.merges}}}};
}

// GGUF marks the start of a word where BERT's own file marks what follows one.
Json word_piece_json(const GgufVocabulary& vocabulary) {
  const auto spelling = [&](std::size_t id) -> std::string {
    const std::string& token = vocabulary.tokens[id];
    if (type_of(vocabulary, id) == kControl || type_of(vocabulary, id) == kUnknown) return token;
    if (token.starts_with(kWordStart)) return token.substr(kWordStart.size());
    return token.starts_with('[') && token.ends_with(']') ? token : "##" + token;
  };
  if (!vocabulary.unknown_id || *vocabulary.unknown_id >= vocabulary.tokens.size()) {
    throw FormatError(vocabulary.file, "tokenizer.ggml.unknown_token_id", "is no token");
  }
  return {{"version", "1.0"},
          {"added_tokens", added_tokens(vocabulary)},
          {"normalizer", {{"type", "BertNormalizer"}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"decoder", {{"type", "WordPiece"}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", vocabulary.tokens[*vocabulary.unknown_id]},
            {"vocab", vocab_json(vocabulary, spelling)}}}};
}

SentencePieceModel sentencepiece_of(const GgufVocabulary& vocabulary) {
  SentencePieceModel model;
  model.type = SentencePieceModel::kBpe;
  model.byte_fallback = true;
  model.add_prefix = vocabulary.add_space_prefix;
  model.remove_spaces = false;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t type = type_of(vocabulary, id);
    if (type < 1 || type > 6) {
      throw FormatError(vocabulary.file, fmt::format("tokenizer.ggml.token_type[{}]", id),
                        fmt::format("is {}", type));
    }
    model.pieces.push_back({vocabulary.tokens[id], vocabulary.scores[id],
                            static_cast<SentencePieceModel::PieceType>(type)});
  }
  return model;
}

}  // namespace

std::shared_ptr<TokenizerModel> read_gguf_vocabulary(const GgufVocabulary& vocabulary) {
  const std::string& file = vocabulary.file;
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0) throw FormatError(file, "tokenizer.ggml.tokens", "is empty");
  if (!vocabulary.token_type.empty() && vocabulary.token_type.size() != size) {
    throw FormatError(
        file, "tokenizer.ggml.token_type",
        fmt::format("has {} types for {} tokens", vocabulary.token_type.size(), size));
  }
  std::shared_ptr<TokenizerModel> model;
  if (vocabulary.model == "gpt2") {
    model = tokenizer_from_json(byte_level_json(vocabulary), file);
  } else if (vocabulary.model == "bert") {
    model = tokenizer_from_json(word_piece_json(vocabulary), file);
  } else if (vocabulary.model == "llama") {
    if (vocabulary.scores.size() != size) {
      throw FormatError(file, "tokenizer.ggml.scores",
                        fmt::format("has {} scores for {} tokens", vocabulary.scores.size(), size));
    }
    model = build_sentencepiece(sentencepiece_of(vocabulary), file);
  } else {
    throw FormatError(
        file, "tokenizer.ggml.model",
        fmt::format("\"{}\" where gpt2, llama and bert are supported", vocabulary.model));
  }
  const auto role = [&](std::optional<std::uint32_t> id, const char* key) {
    if (!id) return std::optional<std::int32_t>();
    if (*id >= size) throw FormatError(file, key, fmt::format("id {} of {} tokens", *id, size));
    if (model->added_flags[*id] == 0) return std::optional<std::int32_t>();
    return std::optional<std::int32_t>(static_cast<std::int32_t>(*id));
  };
  model->bos = role(vocabulary.bos_id, "tokenizer.ggml.bos_token_id");
  model->eos = role(vocabulary.eos_id, "tokenizer.ggml.eos_token_id");
  model->pad = role(vocabulary.padding_id, "tokenizer.ggml.padding_token_id");
  return model;
}

}  // namespace stepstone
