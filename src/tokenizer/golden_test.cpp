// Against the reference implementations: tests/golden/make_tokenizer.py writes what they say.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "io/file.h"
#include "io/json.h"
#include "io/test_support.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/train_bpe.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

const Json& golden() {
  static const Json json =
      read_json(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/tokenizer.json");
  return json;
}

class TrainedByTheReference : public ::testing::TestWithParam<std::string> {
 protected:
  const Json& expected() const { return golden()["trained"][GetParam()]; }

  Tokenizer loaded() const {
    testing::put(folder_ / "tokenizer.json", expected()["tokenizer"].dump());
    return Tokenizer::load(folder_.path());
  }

  testing::ScratchFolder folder_;
};

TEST_P(TrainedByTheReference, GivesTheSameIds) {
  const Tokenizer tokenizer = loaded();
  for (std::size_t i = 0; i < golden()["texts"].size(); ++i) {
    const std::string text = golden()["texts"][i];
    EXPECT_EQ(tokenizer.encode_with_specials(text), expected()["ids"][i]) << text;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode_with_specials(text)), text);
    for (const std::int32_t id : tokenizer.encode(text)) EXPECT_FALSE(tokenizer.is_special(id));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST_P(TrainedByTheReference, OurTrainingGivesTheSameTokenizer) {
  const std::vector<std::string> corpus = golden()["corpus"];
  std::size_t next = 0;
  const auto source = [&](std::string& text) {
    if (next == corpus.size()) return false;
    text = corpus[next++];
    return true;
  };
  const Pattern pattern = GetParam() == "gpt2"     ? Pattern::gpt2
                          : GetParam() == "cl100k" ? Pattern::cl100k
                                                   : Pattern::qwen2;
  const Tokenizer trained =
      train_bpe(source, {.vocab_size = 600,
                         .pattern = pattern,
                         .special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}});
  trained.save(folder_ / "ours.json");
  const Json ours = read_json(folder_ / "ours.json");
  for (const char* part : {"vocab", "merges"}) {
    EXPECT_EQ(ours["model"][part], expected()["tokenizer"]["model"][part]);
  }
  EXPECT_EQ(ours["added_tokens"], expected()["tokenizer"]["added_tokens"]);
}

TEST_P(TrainedByTheReference, ComesBackFromASavedFile) {
  const Tokenizer tokenizer = loaded();
  tokenizer.save(folder_ / "copy.json");
  const Tokenizer copy = Tokenizer::load(folder_ / "copy.json");
  for (const std::string text : golden()["texts"]) {
    EXPECT_EQ(copy.encode_with_specials(text), tokenizer.encode_with_specials(text));
  }
  copy.save(folder_ / "again.json");
  EXPECT_EQ(read_file(folder_ / "again.json"), read_file(folder_ / "copy.json"));
}

TEST_P(TrainedByTheReference, AnyBytesComeBack) {
  const Tokenizer tokenizer = loaded();
  std::mt19937 random(9);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int n = static_cast<int>(random() % 40); n > 0; --n) {
      if (i % 2) {
        text += static_cast<char>(random());
      } else {
        const char32_t code = random() % (random() % 2 ? 0x250 : 0x110000);
        if (code < 0xD800 || code > 0xDFFF) append_utf8(code, text);
      }
    }
    const auto ids = tokenizer.encode(text);
    ASSERT_EQ(tokenizer.decode(ids), text);
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const std::int32_t id : ids) streamed += stream.push(id);
    ASSERT_EQ(streamed + stream.flush(), text);
  }
}

TEST_P(TrainedByTheReference, ManyThreadsMayEncodeAtOnce) {
  const Tokenizer tokenizer = loaded();
  const std::vector<std::string> texts = golden()["texts"];
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        wrong += tokenizer.encode_with_specials(texts[i]) != expected()["ids"][i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Patterns, TrainedByTheReference,
                         ::testing::Values("gpt2", "cl100k", "qwen2"),
                         [](const auto& info) { return info.param; });

TEST(Gpt2, EncodesTheTestDataAsTheReferenceDoes) {
  const char* variable = std::getenv("STEPSTONE_DATA");
  const std::filesystem::path data =
      variable != nullptr ? variable : STEPSTONE_SOURCE_DIR "/../shared/data";
  if (!std::filesystem::exists(data / "tokenizers/gpt2")) {
    GTEST_SKIP() << "no test data at " << data << "; set STEPSTONE_DATA";
  }
  const Tokenizer tokenizer = Tokenizer::load(data / "tokenizers/gpt2");
  EXPECT_EQ(tokenizer.eos(), 50256);
  int compared = 0;
  for (const auto& [name, expected] : golden()["gpt2"].items()) {
    const std::string text = read_file(data / name);
    const auto ids = tokenizer.encode(text);
    std::uint64_t hash = 0;
    for (const std::int32_t id : ids) hash = hash * 0x100000001B3u ^ static_cast<std::uint64_t>(id);
    EXPECT_EQ(ids.size(), expected["tokens"]) << name;
    EXPECT_EQ(fmt::format("{:016x}", hash), expected["hash"]) << name;
    EXPECT_EQ(tokenizer.decode(ids), text) << name;
    ++compared;
  }
  EXPECT_GT(compared, 4);
}

}  // namespace
}  // namespace stepstone
