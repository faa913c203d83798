#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<std::int32_t>;

TEST(ByteTokenizer, EveryByteIsItsId) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  std::string all(256, '\0');
  std::iota(all.begin(), all.end(), '\0');
  Ids ids = tokenizer.encode(all);
  ASSERT_EQ(ids.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[i], i);
  EXPECT_EQ(tokenizer.decode(ids), all);
  EXPECT_EQ(tokenizer.vocab_size(), 256);
}

TEST(ByteTokenizer, SpecialsComeAfterTheBytes) {
  const std::array<std::string, 2> specials = {"<|endoftext|>", "<|im_end|>"};
  const Tokenizer tokenizer = Tokenizer::bytes(specials);
  EXPECT_EQ(tokenizer.special_id("<|im_end|>"), 257);
  EXPECT_EQ(tokenizer.eos(), 256);
  EXPECT_THAT(tokenizer.encode_with_specials("a<|im_end|>b"), ElementsAre('a', 257, 'b'));
  EXPECT_EQ(tokenizer.encode("<|im_end|>").size(), 10u);
  const Ids ids = {'h', 257, 'i', 256};
  EXPECT_EQ(tokenizer.decode(ids), "h<|im_end|>i<|endoftext|>");
  EXPECT_EQ(tokenizer.decode(ids, true), "hi");
}

TEST(ByteTokenizer, RefusesIdsOutsideTheVocabulary) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  for (const std::int32_t id : {-1, 256, 1 << 30}) {
    EXPECT_THROW(tokenizer.decode({{id}}), UsageError);
    EXPECT_FALSE(tokenizer.is_special(id));
  }
}

TEST(CharacterTokenizer, IdsFollowCodePointOrder) {
  const Tokenizer tokenizer = Tokenizer::characters("hello 世界\n");
  EXPECT_EQ(tokenizer.vocab_size(), 8);  // \n space e h l o 世 界
  EXPECT_THAT(tokenizer.encode("\n hole世界"), ElementsAre(0, 1, 3, 5, 4, 2, 6, 7));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("hello 世界\n")), "hello 世界\n");
}

TEST(CharacterTokenizer, UnknownCharacter) {
  const Tokenizer strict = Tokenizer::characters("abc");
  try {
    strict.encode("abéc");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("U+00E9 at byte 2"));
  }
  EXPECT_THROW(strict.encode("a\xFF"), Error);
  const Tokenizer lenient = Tokenizer::characters("abc", {}, true);
  EXPECT_THAT(lenient.encode("aé\xFF"), ElementsAre(0, 3, 3));
}

TEST(Specials, LongestMatchWins) {
  const std::array<std::string, 2> specials = {"<a>", "<a><b>"};
  const Tokenizer tokenizer = Tokenizer::bytes(specials);
  EXPECT_THAT(tokenizer.encode_with_specials("<a><b><a><"), ElementsAre(257, 256, '<'));
}

TEST(Specials, RefusesTheNameOfATextToken) {
  Tokenizer tokenizer = Tokenizer::characters("ab");
  EXPECT_THROW(tokenizer.add_special("a"), UsageError);
  EXPECT_THROW(tokenizer.add_special(""), UsageError);
  EXPECT_EQ(tokenizer.add_special("<x>"), 2);
  EXPECT_EQ(tokenizer.add_special("<x>"), 2);
}

TEST(Specials, RolesAreSetByName) {
  Tokenizer tokenizer = Tokenizer::bytes();
  EXPECT_EQ(tokenizer.bos(), std::nullopt);
  tokenizer.set_bos("<|go|>");
  EXPECT_EQ(tokenizer.bos(), 256);
  const Tokenizer copy = tokenizer;
  tokenizer.set_bos("<|other|>");
  EXPECT_EQ(copy.bos(), 256);
  EXPECT_EQ(tokenizer.bos(), 257);
}

TEST(SaveAndLoad, BytesAndCharactersComeBack) {
  const testing::ScratchFolder folder;
  const std::array<std::string, 2> specials = {"<|endoftext|>", "<|im end|>"};
  Tokenizer bytes = Tokenizer::bytes(specials);
  bytes.set_eos("<|im end|>");
  Tokenizer characters = Tokenizer::characters("\"\\ab\n世\x01", specials, true);
  for (const Tokenizer* saved : {&bytes, &characters}) {
    saved->save(folder.path());
    const Tokenizer loaded = Tokenizer::load(folder.path());
    EXPECT_EQ(loaded.vocab_size(), saved->vocab_size());
    const std::string text = "世\"\\a<|im end|>b\n\x01";
    EXPECT_EQ(loaded.encode(text), saved->encode(text));
    EXPECT_EQ(loaded.encode_with_specials(text), saved->encode_with_specials(text));
    EXPECT_EQ(loaded.decode(loaded.encode_with_specials(text)),
              saved->decode(saved->encode_with_specials(text)));
    EXPECT_EQ(loaded.eos(), saved->eos());
  }
}

TEST(StreamDecoder, NeverSplitsACharacter) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  StreamDecoder decoder(tokenizer);
  const std::string text = "aé世😀b";
  std::string joined;
  for (const char byte : text) {
    const std::string part = decoder.push(static_cast<unsigned char>(byte));
    EXPECT_TRUE(part.empty() || (part[0] & 0xC0) != 0x80);
    joined += part;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(decoder.flush(), "");
}

TEST(StreamDecoder, PassesInvalidBytesOn) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  StreamDecoder decoder(tokenizer);
  std::string joined;
  // 0xE4 waits for more; 0x41 shows that nothing will come; 0xC0 can start nothing.
  for (const int byte : {0xE4, 0x41, 0xC0, 0xF0, 0x9F}) joined += decoder.push(byte);
  EXPECT_EQ(joined, "\xE4\x41\xC0");
  EXPECT_EQ(decoder.flush(), "\xF0\x9F");
  EXPECT_EQ(decoder.flush(), "");
}

}  // namespace
}  // namespace stepstone
