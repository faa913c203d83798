#include "tokenizer/tokenizer_report.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tokenizer/chat_template.h"

namespace stepstone {
namespace {

TEST(TokenizerReport, ReadsIdsAsTheyAreCommonlyWritten) {
  const std::vector<std::int32_t> expected = {1, 20, 300};
  EXPECT_EQ(parse_ids("1 20 300"), expected);
  EXPECT_EQ(parse_ids("[1, 20,300]\n"), expected);
  EXPECT_EQ(parse_ids(""), std::vector<std::int32_t>{});
  for (const char* bad : {"-1", "1x y", "99999999999", "1.5"}) {
    EXPECT_THROW(parse_ids(bad), UsageError) << bad;
  }
}

TEST(TokenizerReport, QuotesWhatCannotBeShown) {
  EXPECT_EQ(quoted("a\"\n\t\\你\xff\x01"), R"("a\"\n\t\\你\xff\x01")");
}

TEST(TokenizerReport, TellsWhatATokenizerIs) {
  const Json bytes = tokenizer_info(Tokenizer::bytes(ChatTemplate::special_tokens()));
  EXPECT_EQ(bytes["kind"], "bytes");
  EXPECT_EQ(bytes["vocab_size"], 259);
  EXPECT_EQ(bytes["control_tokens"]["<|im_end|>"], 258);
  EXPECT_EQ(bytes["eos"], "<|endoftext|>");
  EXPECT_TRUE(bytes["bos"].is_null());
  EXPECT_NE(info_table(bytes).find("<|im_end|> 258"), std::string::npos);
  EXPECT_EQ(tokenizer_info(Tokenizer::characters("abc"))["kind"], "characters");
  EXPECT_EQ(tokenizer_info(Tokenizer::characters("abc"))["longest_token_bytes"], 1);
}

TEST(TokenizerReport, NamesPatterns) {
  EXPECT_EQ(parse_pattern("llama3"), Pattern::cl100k);
  EXPECT_THROW(parse_pattern("gpt3"), UsageError);
}

}  // namespace
}  // namespace stepstone
