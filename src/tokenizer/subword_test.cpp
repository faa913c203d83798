// Against `tokenizers` and `sentencepiece`: tests/golden/make_subword.py writes what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <random>

#include "io/file.h"
#include "io/json.h"
#include "io/test_support.h"
#include "io/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

const Json& golden() {
  static const Json json =
      read_json(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/subword.json");
  return json;
}

Tokenizer load_text(const std::string& text, const char* name = "tokenizer.json") {
  const testing::ScratchFolder folder;
  testing::put(folder / name, text);
  return Tokenizer::load(folder.path());
}

std::string from_base64(const std::string& text) {
  static const std::string digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<std::uint32_t>(digits.find(c));
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

void expect_ids(const Tokenizer& tokenizer, const Json& expected, const std::string& name) {
  for (std::size_t i = 0; i < golden()["texts"].size(); ++i) {
    const std::string text = golden()["texts"][i];
    EXPECT_EQ(Json(tokenizer.encode(text)), expected[i]) << name << ": " << Json(text);
  }
}

TEST(Subword, TokenizersOfEachKind) {
  for (const auto& [name, one] : golden()["tokenizers"].items()) {
    const Tokenizer tokenizer = load_text(one["tokenizer"].dump());
    expect_ids(tokenizer, one["ids"], name);
    EXPECT_EQ(Json(tokenizer.encode_document("the hand")), one["document"]) << name;
    for (std::size_t i = 0; i < one["ids"].size(); ++i) {
      const std::vector<std::int32_t> ids = one["ids"][i];
      const std::string text = tokenizer.decode(ids);
      if (is_utf8(text)) {
        EXPECT_EQ(text, one["texts"][i]) << name << ": " << i;
      }
      StreamDecoder stream(tokenizer);
      std::string streamed;
      for (const std::int32_t id : ids) streamed += stream.push(id);
      if (name != "clip") {
        EXPECT_EQ(streamed + stream.flush(), text) << name << ": " << i;
      }
    }
  }
}

TEST(Subword, EachPreTokenizerAndNormalizer) {
  for (const char* field : {"pre_tokenizer", "normalizer"}) {
    for (const auto& [name, one] : golden()["components"][field].items()) {
      Json json = golden()["components"]["base"];
      if (std::string(field) == "normalizer") json["pre_tokenizer"] = nullptr;
      json[field] = one["json"];
      expect_ids(load_text(json.dump()), one["ids"], name);
    }
  }
}

TEST(Subword, SentencePieceModels) {
  for (const auto& [name, one] : golden()["sentencepiece"].items()) {
    const Tokenizer tokenizer = load_text(from_base64(one["model"]), "tokenizer.model");
    expect_ids(tokenizer, one["ids"], name);
    for (std::size_t i = 0; i < one["ids"].size(); ++i) {
      const std::string text = tokenizer.decode(one["ids"][i].get<std::vector<std::int32_t>>());
      if (is_utf8(text)) {
        EXPECT_EQ(text, one["texts"][i]) << name << ": " << i;
      }
    }
  }
}

TEST(Subword, ASavedFileGivesTheSame) {
  for (const auto& [name, one] : golden()["tokenizers"].items()) {
    const testing::ScratchFolder folder;
    Tokenizer tokenizer = load_text(one["tokenizer"].dump());
    const std::int32_t end = tokenizer.add_special("<|new|>");
    tokenizer.save(folder.path());
    const Tokenizer copy = Tokenizer::load(folder.path());
    expect_ids(copy, one["ids"], name);
    EXPECT_EQ(copy.encode_with_specials("<|new|>"), std::vector<std::int32_t>{end});
  }
}

TEST(Subword, ASentencePieceModelIsSavedAsJson) {
  int saved = 0;
  for (const auto& [name, one] : golden()["sentencepiece"].items()) {
    Tokenizer tokenizer = load_text(from_base64(one["model"]), "tokenizer.model");
    const std::int32_t end = tokenizer.add_special("<|new|>");
    const testing::ScratchFolder folder;
    try {
      tokenizer.save(folder.path());
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("user-defined")) << name;
      EXPECT_EQ(folder.listing(), "");
      continue;
    }
    ++saved;
    const Tokenizer copy = Tokenizer::load(folder.path());
    expect_ids(copy, one["ids"], name);
    EXPECT_EQ(copy.encode_with_specials("<|new|>"), std::vector<std::int32_t>{end});
    EXPECT_EQ(copy.bos(), tokenizer.bos()) << name;
    EXPECT_EQ(copy.eos(), tokenizer.eos()) << name;
    for (const Json& ids : one["ids"]) {
      const std::vector<std::int32_t> list = ids;
      // SentencePiece shows unknown characters as " ⁇ ", where the file can only name the token.
      if (std::find(list.begin(), list.end(), 0) != list.end()) continue;
      EXPECT_EQ(copy.decode(list), tokenizer.decode(list)) << name;
    }
  }
  EXPECT_GE(saved, 2);
}

TEST(Subword, TextSpellsNoControlToken) {
  for (const auto& [name, one] : golden()["tokenizers"].items()) {
    const Tokenizer tokenizer = load_text(one["tokenizer"].dump());
    for (const AddedToken& token : tokenizer.model().added) {
      if (token.content == "<unk>" || token.content == "[UNK]" || token.content == "<|end|>")
        continue;
      for (const std::int32_t id : tokenizer.encode("a " + token.content + " b" + token.content)) {
        EXPECT_NE(id, token.id) << name << ": " << token.content;
      }
      EXPECT_THAT(tokenizer.encode_with_specials("a" + token.content),
                  ::testing::Contains(token.id));
    }
  }
}

TEST(Subword, TenMegabytesOfOneCharacterTakeNoQuadraticTime) {
#if defined(__SANITIZE_ADDRESS__)
  const std::string same(1'000'000, 'a');
#else
  const std::string same(10'000'000, 'a');
#endif
  std::string spaceless;
  std::mt19937 random(1);
  while (spaceless.size() < same.size()) spaceless += "thandbe"[random() % 7];
  const auto expect_quick = [](const Tokenizer& tokenizer, const std::string& text,
                               const std::string& name) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer.encode(text).empty());
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    // The aim is 2 s: here 0.2 to 1.6 s. More is for a busy machine; quadratic time is hours.
    EXPECT_LT(wall.count(), 6) << name;
  };
  for (const auto& [name, one] : golden()["tokenizers"].items()) {
    const Tokenizer tokenizer = load_text(one["tokenizer"].dump());
    expect_quick(tokenizer, same, name);
    if (name == "llama" || name == "unigram" || name == "bert") {
      expect_quick(tokenizer, spaceless, name + " spaceless");
    }
  }
  for (const auto& [name, one] : golden()["sentencepiece"].items()) {
    expect_quick(load_text(from_base64(one["model"]), "tokenizer.model"), same,
                 "SentencePiece " + name);
  }
}

std::string mutated(std::string bytes, std::mt19937& random) {
  for (int n = static_cast<int>(random() % 4) + 1; n > 0; --n) {
    const std::size_t at = random() % bytes.size();
    if (random() % 4 == 0) {
      bytes.resize(at + 1);
    } else {
      bytes[at] = static_cast<char>(random());
    }
  }
  return bytes;
}

// A broken file is refused with file and field, or was not broken; never anything else.
TEST(Subword, DamagedSentencePieceModels) {
  std::mt19937 random(3);
  int refused = 0;
  for (const char* name : {"unigram", "bpe llama"}) {
    const std::string good = from_base64(golden()["sentencepiece"][name]["model"]);
    for (int i = 0; i < 150; ++i) {
      try {
        load_text(mutated(good, random), "tokenizer.model").encode("the hand");
      } catch (const FormatError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("tokenizer.model: "));
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

// A text of a few bytes and rules that make gigabytes of it: refused at the step that goes too far.
TEST(Subword, StepsThatMakeTooMuchOfATextAreNamed) {
  const Json many = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1000, 'a')}};
  Json any = many;
  any["pattern"] = {{"Regex", "[a]"}};
  const Json prepend = {{"type", "Prepend"}, {"prepend", std::string(3 << 20, 'a')}};
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", std::string(1000, ' ')}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto message_of = [](const char* part, const char* list, const Json& one) {
    Json json = golden()["tokenizers"]["unigram"]["tokenizer"];
    json[part] = {{"type", "Sequence"}, {list, Json(std::vector<Json>(24, one))}};
    try {
      load_text(json.dump()).encode("a b\u00e9");
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto too_long = [](const std::string& step) {
    return "tokenizer: " + step + ": makes a text of more than 1048656 bytes";
  };
  for (const Json& replace : {many, any}) {
    EXPECT_EQ(message_of("normalizer", "normalizers", replace), too_long("normalizer Replace"));
  }
  EXPECT_EQ(message_of("normalizer", "normalizers", prepend), too_long("normalizer Prepend"));
  EXPECT_EQ(message_of("pre_tokenizer", "pretokenizers", metaspace),
            too_long("pre_tokenizer Metaspace"));
  EXPECT_EQ(message_of("pre_tokenizer", "pretokenizers", bytes),
            too_long("pre_tokenizer ByteLevel"));
  EXPECT_THAT(
      message_of("decoder", "decoders", many),
      ::testing::HasSubstr("tokenizer.json: decoder.decoders[0]: makes a text of more than"));
}

struct Fault {
  const char* field;
  std::function<void(Json&)> make;
};

void expect_refused(const char* base, const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    Json json = golden()["tokenizers"][base]["tokenizer"];
    fault.make(json);
    EXPECT_EQ(testing::format_error_mismatch([&] { load_text(json.dump()); }, fault.field), "");
  }
}

TEST(Subword, RefusesBrokenComponents) {
  expect_refused(
      "unigram",
      {{"model.vocab[3]", [](Json& j) { j["model"]["vocab"][3] = "x"; }},
       {"model.vocab[3]", [](Json& j) { j["model"]["vocab"][3] = {"x"}; }},
       {"model.vocab[3]",
        [](Json& j) {
          j["model"]["vocab"][3] = {"", 1.0};
        }},
       {"model.vocab[4]", [](Json& j) { j["model"]["vocab"][4] = j["model"]["vocab"][3]; }},
       {"model.unk_id", [](Json& j) { j["model"]["unk_id"] = 100000; }},
       {"model.unk_id", [](Json& j) { j["model"]["unk_id"] = -1; }},
       {"model.byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }},
       {"model.surprise", [](Json& j) { j["model"]["surprise"] = true; }},
       {"normalizer.normalizers[0].type",
        [](Json& j) { j["normalizer"]["normalizers"][0]["type"] = "X"; }},
       {"normalizer.normalizers", [](Json& j) { j["normalizer"]["normalizers"] = 1; }},
       {"normalizer.normalizers[2].pattern",
        [](Json& j) { j["normalizer"]["normalizers"][2].erase("pattern"); }},
       {"normalizer.normalizers[0].precompiled_charsmap",
        [](Json& j) {
          j["normalizer"]["normalizers"][0] = {{"type", "Precompiled"},
                                               {"precompiled_charsmap", "????"}};
        }},
       {"normalizer.normalizers[0].precompiled_charsmap",
        [](Json& j) {
          j["normalizer"]["normalizers"][0] = {{"type", "Precompiled"},
                                               {"precompiled_charsmap", "/////w=="}};
        }},
       {"pre_tokenizer.prepend_scheme",
        [](Json& j) { j["pre_tokenizer"]["prepend_scheme"] = "last"; }},
       {"pre_tokenizer.type", [](Json& j) { j["pre_tokenizer"]["type"] = "X"; }},
       {"decoder.type", [](Json& j) { j["decoder"]["type"] = "X"; }},
       {"post_processor",
        [](Json& j) { j["post_processor"]["single"][1]["SpecialToken"]["id"] = "X"; }},
       {"post_processor.type", [](Json& j) { j["post_processor"]["type"] = "X"; }}});
  expect_refused("bert", {{"model.unk_token", [](Json& j) { j["model"]["unk_token"] = "X"; }},
                          {"model.unk_token", [](Json& j) { j["model"].erase("unk_token"); }},
                          {"post_processor.sep", [](Json& j) { j["post_processor"]["sep"] = 5; }}});
  expect_refused("llama", {{"model.merges[0]",
                            [](Json& j) {
                              j["model"]["merges"][0] = {"a", "qq"};
                            }},
                           {"model.dropout", [](Json& j) { j["model"]["dropout"] = 0.5; }},
                           {"model.unk_token", [](Json& j) { j["model"]["unk_token"] = "X"; }}});
}

}  // namespace
}  // namespace stepstone
