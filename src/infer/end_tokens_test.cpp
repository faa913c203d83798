#include "stone/end_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "infer/test_support.h"
#include "io/test_support.h"
#include "stone/convert.h"
#include "stone/gguf_config.h"
#include "stone/gguf_tokenizer.h"

namespace stepstone {
namespace {

using ::testing::ElementsAre;

// A saved tiny model whose files can be changed: without stepstone.json no hash stands against it.
class EndTokens : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto model = testing::tiny_model("qwen3");
    const Tokenizer tokenizer = testing::tiny_tokenizer();
    save_stone(folder_.path(),
               {.model = model.get(), .tokenizer = &tokenizer, .chat_template = {}, .about = {}});
    std::filesystem::remove(folder_ / "stepstone.json");
  }
  void set(const char* file, const std::string& value) {
    Json json = read_json(folder_ / file);
    json["eos_token_id"] = Json::parse(value);
    testing::put(folder_ / file, json.dump());
  }
  std::vector<std::int32_t> loaded() { return load_stone(folder_.path()).end_tokens; }

  testing::ScratchFolder folder_;
};

TEST_F(EndTokens, ComeFromBothFilesAndTheTokenizer) {
  // 256 is <|endoftext|>, 258 <|im_end|>.
  EXPECT_EQ(read_json(folder_ / "generation_config.json")["eos_token_id"], Json({256, 258}));
  set("generation_config.json", "65");
  EXPECT_THAT(loaded(), ElementsAre(65, 256, 258));
  set("generation_config.json", "[66, 258, 65]");
  set("config.json", "70");
  EXPECT_THAT(loaded(), ElementsAre(65, 66, 70, 256, 258));
  set("config.json", "null");
  std::filesystem::remove(folder_ / "generation_config.json");
  EXPECT_THAT(loaded(), ElementsAre(256, 258));
}

TEST_F(EndTokens, OutsideTheVocabularyAreRefused) {
  for (const char* bad : {"-1", "264", "[65, 9999999999]", "\"x\"", "1.5", "[[1]]", "true", "{}"}) {
    set("generation_config.json", bad);
    EXPECT_EQ(testing::format_error_mismatch([&] { loaded(); }, "eos_token_id"), "") << bad;
  }
}

TEST_F(EndTokens, SurviveTheWayThroughGguf) {
  set("generation_config.json", "[65, 256]");
  const auto gguf = folder_ / "model.gguf", back = folder_ / "back";
  write_gguf(folder_.path(), "F32", gguf, {});
  EXPECT_THAT(load_stone(gguf).end_tokens, ElementsAre(65, 256, 258));
  write_folder(gguf, DType::f32, back);
  EXPECT_THAT(load_stone(back).end_tokens, ElementsAre(65, 256, 258));
}

TEST_F(EndTokens, ChatTemplatesOfOlderFoldersAreRead) {
  const auto with = [&](const Json& value) {
    testing::put(folder_ / "tokenizer_config.json", Json({{"chat_template", value}}).dump());
    return load_stone(folder_.path()).chat_template;
  };
  EXPECT_EQ(with(nullptr), "");
  EXPECT_EQ(with("{{ x }}"), "{{ x }}");
  EXPECT_EQ(with(Json::parse(R"([{"name": "tool_use", "template": "a"},
                                 {"name": "default", "template": "b"}])")),
            "b");
  EXPECT_EQ(testing::format_error_mismatch([&] { with(7); }, "chat_template"), "");
}

}  // namespace
}  // namespace stepstone
