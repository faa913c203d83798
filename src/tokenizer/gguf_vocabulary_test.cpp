#include "tokenizer/gguf_vocabulary.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/json.h"
#include "io/test_support.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {
namespace {

Json golden(const char* name) {
  return read_json(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden" / name);
}

// The vocabulary of a tokenizer.json as a converter to GGUF writes it.
GgufVocabulary as_gguf(const Json& tokenizer, const std::string& model) {
  const Json& vocab = tokenizer["model"]["vocab"];
  GgufVocabulary out{.file = "m.gguf", .model = model, .tokens = {}};
  out.tokens.resize(vocab.size());
  out.token_type.assign(vocab.size(), 1);
  for (const auto& [token, id] : vocab.items()) out.tokens[id.get<std::size_t>()] = token;
  for (const Json& added : tokenizer["added_tokens"]) {
    out.token_type[added["id"].get<std::size_t>()] = 3;
  }
  return out;
}

TEST(GgufVocabulary, ByteLevel) {
  const Json json = golden("tokenizer.json");
  for (const auto& [name, pre] : std::vector<std::pair<const char*, const char*>>{
           {"gpt2", "gpt-2"}, {"cl100k", "glm4"}, {"qwen2", "qwen2"}}) {
    const Json& one = json["trained"][name];
    GgufVocabulary vocabulary = as_gguf(one["tokenizer"], "gpt2");
    vocabulary.pre = pre;
    for (const Json& merge : one["tokenizer"]["model"]["merges"]) {
      vocabulary.merges.push_back(merge[0].get<std::string>() + ' ' + merge[1].get<std::string>());
    }
    vocabulary.eos_id = 0;
    const Tokenizer tokenizer(read_gguf_vocabulary(vocabulary));
    for (std::size_t i = 0; i < json["texts"].size(); ++i) {
      EXPECT_EQ(Json(tokenizer.encode_with_specials(json["texts"][i].get<std::string>())),
                one["ids"][i]);
    }
    EXPECT_EQ(tokenizer.eos(), 0);
  }
}

TEST(GgufVocabulary, WordPiece) {
  const Json json = golden("subword.json");
  const Json& one = json["tokenizers"]["bert"];
  GgufVocabulary vocabulary = as_gguf(one["tokenizer"], "bert");
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    std::string& token = vocabulary.tokens[id];
    if (vocabulary.token_type[id] == 3) continue;
    token = token.starts_with("##") ? token.substr(2) : "\u2581" + token;
  }
  vocabulary.unknown_id = 0;
  const Tokenizer tokenizer(read_gguf_vocabulary(vocabulary));
  for (std::size_t i = 0; i < json["texts"].size(); ++i) {
    EXPECT_EQ(Json(tokenizer.encode(json["texts"][i].get<std::string>())), one["ids"][i]);
  }
}

GgufVocabulary small_llama() {
  GgufVocabulary out{.file = "m.gguf", .model = "llama", .tokens = {"<unk>", "<s>", "</s>"}};
  out.token_type = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    out.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    out.token_type.push_back(6);
  }
  for (const char* token : {"\u2581a", "ab", "\u2581", "a", "b"}) {
    out.tokens.push_back(token);
    out.token_type.push_back(1);
  }
  for (std::size_t id = 0; id < out.tokens.size(); ++id) {
    out.scores.push_back(-static_cast<float>(id));
  }
  return out;
}

TEST(GgufVocabulary, SentencePiece) {
  const Tokenizer tokenizer(read_gguf_vocabulary(small_llama()));
  EXPECT_EQ(tokenizer.encode("ab"), (std::vector<std::int32_t>{259, 263}));
  EXPECT_EQ(tokenizer.encode("bab\n"), (std::vector<std::int32_t>{261, 263, 260, 3 + '\n'}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("bab\n")), "bab\n");
}

TEST(GgufVocabulary, SentencePieceIsSavedAsJson) {
  const Tokenizer tokenizer(read_gguf_vocabulary(small_llama()));
  const testing::ScratchFolder folder;
  tokenizer.save(folder.path());
  const Tokenizer copy = Tokenizer::load(folder.path());
  for (const char* text : {"ab", "bab\n", "  a  b ", "\u2581ab \u4e2d", ""}) {
    EXPECT_EQ(copy.encode(text), tokenizer.encode(text)) << text;
  }
}

TEST(GgufVocabulary, RefusesWhatDoesNotFit) {
  using Change = void (*)(GgufVocabulary&);
  for (const auto& [field, change] : std::vector<std::pair<const char*, Change>>{
           {"tokenizer.ggml.model", [](GgufVocabulary& v) { v.model = "rwkv"; }},
           {"tokenizer.ggml.tokens", [](GgufVocabulary& v) { v.tokens.clear(); }},
           {"tokenizer.ggml.scores", [](GgufVocabulary& v) { v.scores.pop_back(); }},
           {"tokenizer.ggml.token_type", [](GgufVocabulary& v) { v.token_type.pop_back(); }},
           {"tokenizer.ggml.token_type[5]", [](GgufVocabulary& v) { v.token_type[5] = 9; }},
           {"tokenizer.ggml.bos_token_id", [](GgufVocabulary& v) { v.bos_id = 4000000000u; }},
           {"pieces[4]", [](GgufVocabulary& v) { v.tokens[4] = v.tokens[3]; }},
           {"pieces[4]", [](GgufVocabulary& v) { v.tokens[4] = "\xff"; }},
           {"pieces", [](GgufVocabulary& v) { v.token_type[9] = 1; }},  // a byte is missing
           {"tokenizer.ggml.pre",
            [](GgufVocabulary& v) {
              v.model = "gpt2";
              v.pre = "unheard-of";
            }},
           {"tokenizer.ggml.unknown_token_id", [](GgufVocabulary& v) { v.model = "bert"; }}}) {
    GgufVocabulary vocabulary = small_llama();
    change(vocabulary);
    EXPECT_EQ(testing::format_error_mismatch([&] { read_gguf_vocabulary(vocabulary); }, field), "");
  }
}

}  // namespace
}  // namespace stepstone
