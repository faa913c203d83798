// Files that must be refused, each with the field that is at fault.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/test_support.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {
namespace {

// A small good tokenizer.json: bytes, two merges, one control token.
Json good() {
  const testing::ScratchFolder folder;
  const std::string special[] = {"<|end|>"};
  Tokenizer::bytes(special).save(folder / "tokenizer.json");
  Json json = read_json(folder / "tokenizer.json");
  json["model"]["vocab"]["ab"] = 257;
  json["model"]["vocab"]["abc"] = 258;
  json["model"]["merges"] = {{"a", "b"}, "ab c"};
  return json;
}

Json good_characters() {
  const testing::ScratchFolder folder;
  Tokenizer::characters("abc").save(folder / "tokenizer.json");
  return read_json(folder / "tokenizer.json");
}

Tokenizer load_text(const std::string& text) {
  const testing::ScratchFolder folder;
  testing::put(folder / "tokenizer.json", text);
  return Tokenizer::load(folder.path());
}

struct Fault {
  const char* field;  // as the error names it
  std::function<void(Json&)> make;
};

void expect_refused(const Json& base, const std::vector<Fault>& faults) {
  ASSERT_NO_THROW(load_text(base.dump()));
  for (const Fault& fault : faults) {
    Json json = base;
    fault.make(json);
    EXPECT_EQ(testing::format_error_mismatch([&] { load_text(json.dump()); }, fault.field), "");
  }
}

TEST(LoadTokenizer, ReadsBothFormsOfMerges) {
  const Tokenizer tokenizer = load_text(good().dump());
  EXPECT_THAT(tokenizer.encode("abcab"), ::testing::ElementsAre(258, 257));
}

TEST(LoadTokenizer, RefusesBadVocabularies) {
  expect_refused(
      good(),
      {{"model.vocab[\"ab\"]", [](Json& j) { j["model"]["vocab"]["ab"] = -1; }},
       {"model.vocab[\"ab\"]", [](Json& j) { j["model"]["vocab"]["ab"] = 2147483647; }},
       {"model.vocab[\"ab\"]", [](Json& j) { j["model"]["vocab"]["ab"] = 1e30; }},
       {"model.vocab[\"ab\"]", [](Json& j) { j["model"]["vocab"]["ab"] = "257"; }},
       {"model.vocab[\"ab\"]", [](Json& j) { j["model"]["vocab"]["ab"] = 18446744073709551615u; }},
       {"model.vocab", [](Json& j) { j["model"]["vocab"]["ab"] = 100000; }},  // a gap
       {"model.vocab", [](Json& j) { j["model"]["vocab"]["ab"] = 258; }},     // twice
       {"model.vocab", [](Json& j) { j["model"]["vocab"] = Json::array(); }},
       {"model.vocab", [](Json& j) { j["model"].erase("vocab"); }},
       {"model.vocab", [](Json& j) { j["model"]["vocab"][""] = 259; }},
       {"model.vocab[\"a b\"]", [](Json& j) { j["model"]["vocab"]["a b"] = 259; }},
       {"model.vocab[\"世\"]", [](Json& j) { j["model"]["vocab"]["世"] = 259; }},
       {"model.vocab",  // no token for the byte 'z'
        [](Json& j) {
          const Json id = j["model"]["vocab"]["z"];
          j["model"]["vocab"].erase("z");
          j["model"]["vocab"]["zz"] = id;
        }}});
}

TEST(LoadTokenizer, RefusesBadMerges) {
  expect_refused(good(),
                 {{"model.merges[0]",
                   [](Json& j) {
                     j["model"]["merges"][0] = {"a", "q"};
                   }},
                  {"model.merges[0]",
                   [](Json& j) {
                     j["model"]["merges"][0] = {"a", "世"};
                   }},
                  {"model.merges[1]", [](Json& j) { j["model"]["merges"][1] = "abc"; }},
                  {"model.merges[1]", [](Json& j) { j["model"]["merges"][1] = "a b c"; }},
                  {"model.merges[1]", [](Json& j) { j["model"]["merges"][1] = {"a"}; }},
                  {"model.merges[1]", [](Json& j) { j["model"]["merges"][1] = 7; }},
                  {"model.merges[1]", [](Json& j) { j["model"]["merges"][1] = "a b"; }},  // twice
                  {"model.merges", [](Json& j) { j["model"]["merges"] = "a b"; }},
                  {"merges", [](Json& j) { j["model"].erase("merges"); }}});
}

TEST(LoadTokenizer, RefusesBadAddedTokens) {
  expect_refused(
      good(),
      {{"added_tokens", [](Json& j) { j["added_tokens"] = 3; }},
       {"added_tokens[0]", [](Json& j) { j["added_tokens"][0] = 3; }},
       {"added_tokens[0].id", [](Json& j) { j["added_tokens"][0]["id"] = -5; }},
       {"added_tokens[0].id", [](Json& j) { j["added_tokens"][0]["id"] = 3; }},
       {"id", [](Json& j) { j["added_tokens"][0].erase("id"); }},
       {"added_tokens[0].content", [](Json& j) { j["added_tokens"][0]["content"] = ""; }},
       {"lstrip", [](Json& j) { j["added_tokens"][0]["lstrip"] = 1; }},
       {"special", [](Json& j) { j["added_tokens"][0]["special"] = 1; }},
       {"added_tokens[1].content",
        [](Json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }},
       {"model.vocab",  // a control token that is a byte: then that byte has no token of text
        [](Json& j) {
          j["added_tokens"].push_back({{"id", j["model"]["vocab"]["x"]}, {"content", "x"}});
        }}});
}

TEST(LoadTokenizer, RefusesWhatItWouldHaveToIgnore) {
  expect_refused(good(),
                 {{"surprise", [](Json& j) { j["surprise"] = 1; }},
                  {"version", [](Json& j) { j["version"] = "2.0"; }},
                  {"model.type", [](Json& j) { j["model"]["type"] = "Trigram"; }},
                  {"model.vocab", [](Json& j) { j["model"]["type"] = "Unigram"; }},
                  {"model.surprise", [](Json& j) { j["model"]["surprise"] = 1; }},
                  {"model.dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }},
                  {"model.byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }},
                  {"normalizer.type",
                   [](Json& j) {
                     j["normalizer"] = {{"type", "Uppercase"}};
                   }},
                  {"pre_tokenizer", [](Json& j) { j["pre_tokenizer"] = 5; }},
                  {"pre_tokenizer.type",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Hyperspace"}};
                   }},
                  {"pre_tokenizer.pretokenizers",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Sequence"}};
                   }},
                  {"pre_tokenizer.pattern.Regex",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Split"},
                                           {"pattern", {{"Regex", "(a"}}},
                                           {"behavior", "Isolated"},
                                           {"invert", false}};
                   }},
                  {"pre_tokenizer.behavior",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Split"},
                                           {"pattern", {{"Regex", "a+"}}},
                                           {"behavior", "Kept"},
                                           {"invert", false}};
                   }},
                  {"pre_tokenizer.pattern",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Split"},
                                           {"pattern", {{"Text", "a"}}},
                                           {"behavior", "Isolated"},
                                           {"invert", false}};
                   }},
                  {"post_processor.type",
                   [](Json& j) {
                     j["post_processor"] = {{"type", "Roberta"}};
                   }},
                  {"decoder.type", [](Json& j) {
                     j["decoder"] = {{"type", "WordPiece"}};
                   }}});
}

TEST(LoadTokenizer, RefusesBadCharacterTokenizers) {
  expect_refused(good_characters(),
                 {{"model.vocab[\"dd\"]", [](Json& j) { j["model"]["vocab"]["dd"] = 3; }},
                  {"pre_tokenizer", [](Json& j) { j["pre_tokenizer"] = nullptr; }},
                  {"normalizer",
                   [](Json& j) {
                     j["normalizer"] = {{"type", "NFC"}};
                   }},
                  {"decoder.type",
                   [](Json& j) {
                     j["decoder"] = {{"type", "ByteLevel"}};
                   }},
                  {"model.merges", [](Json& j) { j["model"]["merges"] = Json::array(); }}});
}

TEST(LoadTokenizer, TextCannotSpellAControlToken) {
  // The merges lead to a control token; text must stop before it.
  Json json = good();
  json["added_tokens"].push_back({{"id", 258}, {"content", "abc"}, {"special", true}});
  const Tokenizer tokenizer = load_text(json.dump());
  EXPECT_THAT(tokenizer.encode("abc"), ::testing::ElementsAre(257, 'c'));
  EXPECT_THAT(tokenizer.encode_with_specials("abc"), ::testing::ElementsAre(258));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(load_text(json.dump()).encode("abc"), ::testing::ElementsAre(257, 'c'));
}

TEST(LoadTokenizer, IgnoreMergesTakesWholeWords) {
  Json json = good();
  json["model"]["vocab"]["xyz"] = 259;
  json["pre_tokenizer"]["use_regex"] = true;
  EXPECT_EQ(load_text(json.dump()).encode("xyz").size(), 3u);
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(load_text(json.dump()).encode("xyz"), ::testing::ElementsAre(259));
}

TEST(LoadTokenizer, PrefixSpaceAndNormalizer) {
  Json json = good();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_THAT(load_text(json.dump()).encode("ab"), ::testing::ElementsAre(' ', 257));
  EXPECT_THAT(load_text(json.dump()).encode(" ab"), ::testing::ElementsAre(' ', 257));
  json = good();
  json["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(load_text(json.dump()).encode("e\u0301"), load_text(json.dump()).encode("é"));
}

TEST(LoadTokenizer, TruncatedAndFlippedFilesNeverCrash) {
  const std::string text = good().dump();
  std::mt19937 random(2);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bad = text;
    if (i % 2) {
      bad.resize(random() % text.size());
    } else {
      bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    }
    try {
      // A flip inside a name can leave a good file; then it must work.
      const Tokenizer tokenizer = load_text(bad);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode("abc \xFF")), "abc \xFF");
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 200);  // every truncation at least
}

TEST(LoadTokenizer, DocumentsThatAreNoTokenizer) {
  for (const char* text : {"", "[]", "null", "{}", "{\"model\": {}}", "{\"model\": 5}"}) {
    EXPECT_THROW(load_text(text), FormatError) << text;
  }
  EXPECT_THROW(load_text(std::string(1000, '[')), FormatError);
  EXPECT_THROW(load_text(R"({"version": "1.0", "version": "1.0"})"), FormatError);
  EXPECT_THROW(Tokenizer::load("/nonexistent"), IoError);
}

TEST(LoadTokenizer, PairOfFiles) {
  const testing::ScratchFolder folder;
  Json vocab = good()["model"]["vocab"];
  vocab["<|end|>"] = 256;
  testing::put(folder / "vocab.json", vocab.dump());
  testing::put(folder / "merges.txt", "#version: 0.2\na b\nab c\n");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.special_id("<|end|>"), 256);
  EXPECT_THAT(tokenizer.encode("abc"), ::testing::ElementsAre(258));
  testing::put(folder / "added_tokens.json", R"({"<|more|>": 259})");
  EXPECT_EQ(Tokenizer::load(folder.path()).special_id("<|more|>"), 259);
  for (const char* merges : {"a b c\n", "ab\n", "a b\na b\n", "a q\n"}) {
    testing::put(folder / "merges.txt", merges);
    EXPECT_THROW(Tokenizer::load(folder.path()), FormatError) << merges;
  }
}

TEST(LoadTokenizer, PairOfFilesOfQwen2) {
  const testing::ScratchFolder folder;
  Json vocab = good()["model"]["vocab"];
  vocab["<|end|>"] = 256;
  vocab["12"] = 259;
  testing::put(folder / "vocab.json", vocab.dump());
  testing::put(folder / "merges.txt", "a b\nab c\n1 2\n");
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("12").size(), 1u);
  testing::put(folder / "tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("12").size(), 2u);  // digits stand alone
}

TEST(LoadTokenizer, AControlTokenIsNotTheUnknownCharacter) {
  Json json = good_characters();
  json["added_tokens"] = {{{"id", 3}, {"content", "<unk>"}, {"special", true}}};
  EXPECT_THROW(load_text(json.dump()).encode("z"), Error);
}

TEST(LoadTokenizer, ConfigNamesTheRoles) {
  const testing::ScratchFolder folder;
  testing::put(folder / "tokenizer.json", good().dump());
  testing::put(folder / "tokenizer_config.json",
               R"({"bos_token": null, "eos_token": {"content": "<|end|>"}})");
  EXPECT_EQ(Tokenizer::load(folder.path()).eos(), 256);
  EXPECT_EQ(Tokenizer::load(folder / "tokenizer.json").eos(), 256);
  testing::put(folder / "tokenizer_config.json", R"({"eos_token": "<|other|>"})");
  EXPECT_EQ(testing::format_error_mismatch([&] { Tokenizer::load(folder.path()); }, "eos_token"),
            "");
}

}  // namespace
}  // namespace stepstone
