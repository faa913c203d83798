#include "data/tokenize.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/threads.h"
#include "data/synth_files.h"
#include "io/file.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::ScratchFolder;

Tokenizer chat_tokenizer() {
  std::vector<std::string> specials = {"<|endoftext|>"};
  for (const std::string& token : ChatTemplate::special_tokens()) {
    if (token != specials[0]) specials.push_back(token);
  }
  Tokenizer tokenizer = Tokenizer::bytes(specials);
  tokenizer.set_eos("<|endoftext|>");
  return tokenizer;
}

TokenShardOptions shard_options(const Tokenizer& tokenizer, bool mask) {
  return {tokenizer.vocab_size(), tokenizer_hash(tokenizer), mask, 5000};
}

TEST(Tokenize, TextAndChat) {
  const Tokenizer tokenizer = chat_tokenizer();
  Document document;
  document.text = "ab";
  const auto text = tokenize_document(document, tokenizer);
  EXPECT_EQ(text.tokens, (std::vector<std::int32_t>{'a', 'b', *tokenizer.eos()}));
  EXPECT_EQ(text.mask, (std::vector<std::uint8_t>{1, 1, 1}));
  EXPECT_EQ(text.text_bytes, 2);
  document.clear();
  document.messages = {{"user", "<|im_end|>"}, {"assistant", "ok"}};
  const auto chat = tokenize_document(document, tokenizer);
  ASSERT_EQ(chat.tokens.size(), chat.mask.size());
  std::string learned;
  int ends = 0;
  for (std::size_t i = 0; i < chat.tokens.size(); ++i) {
    if (chat.mask[i] != 0) learned += tokenizer.token_bytes(chat.tokens[i]);
    ends += chat.tokens[i] == tokenizer.special_id("<|im_end|>");
  }
  EXPECT_EQ(learned, "ok<|im_end|>");
  EXPECT_EQ(ends, 2);  // what the user typed is no control token
}

TEST(Tokenize, CorpusToShardsIndependentOfThreads) {
  const ScratchFolder scratch;
  const Tokenizer tokenizer = chat_tokenizer();
  const Synth synth({});
  write_synth_documents(scratch / "text.jsonl", synth, Split::train, {.documents = 300});
  write_synth_chats(scratch / "chat.jsonl.gz", synth, Split::train, {.documents = 100});
  const int threads = num_threads();
  for (const int n : {1, 3}) {
    set_num_threads(n);
    const std::string tag = std::to_string(n);
    DocumentReader reader({scratch / "text.jsonl", scratch / "chat.jsonl.gz"});
    ShardWriter train(scratch / ("train" + tag), shard_options(tokenizer, true));
    ShardWriter val(scratch / ("val" + tag), shard_options(tokenizer, true));
    TokenizeOptions options;
    options.val_fraction = 0.2;
    options.block_bytes = 10000;
    tokenize_corpus(reader, tokenizer, options, train, &val);
    EXPECT_EQ(train.documents() + val.documents(), 400);
    EXPECT_GT(val.documents(), 40);
    EXPECT_LT(val.documents(), 120);
    train.finish();
    val.finish();
  }
  set_num_threads(threads);
  for (const char* name : {"train", "val"}) {
    EXPECT_EQ(read_file(scratch / (std::string(name) + "1") / "manifest.json"),
              read_file(scratch / (std::string(name) + "3") / "manifest.json"));
  }
  const OpenedShards opened = open_shards(scratch / "train1");
  EXPECT_NO_THROW(require_tokenizer(opened, "", tokenizer_hash(tokenizer), tokenizer.vocab_size()));
  EXPECT_TRUE(opened.info.mask);
  const TokenRange first = opened.dataset.document(0);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(first.size()));
  opened.dataset.copy_tokens(first, ids.data());
  const std::string text = tokenizer.decode(ids, /*skip_special=*/true);
  bool found = false;
  for (std::uint64_t i = 0; i < 5; ++i) found = found || synth.document(Split::train, i) == text;
  EXPECT_TRUE(found);
}

TEST(Tokenize, ChatsNeedAMask) {
  const ScratchFolder scratch;
  const Tokenizer tokenizer = chat_tokenizer();
  write_synth_chats(scratch / "c.jsonl", Synth({}), Split::train, {.documents = 3});
  DocumentReader reader({scratch / "c.jsonl"});
  ShardWriter train(scratch / "d", shard_options(tokenizer, false));
  EXPECT_THROW(tokenize_corpus(reader, tokenizer, {}, train), UsageError);
}

TEST(Tokenize, BytesPerToken) {
  const Tokenizer tokenizer = chat_tokenizer();
  const auto lengths = token_byte_lengths(tokenizer);
  ASSERT_EQ(static_cast<std::int32_t>(lengths.size()), tokenizer.vocab_size());
  EXPECT_EQ(lengths[65], 1);
  EXPECT_EQ(lengths[static_cast<std::size_t>(*tokenizer.eos())], 0);
  EXPECT_NE(tokenizer_hash(tokenizer), tokenizer_hash(Tokenizer::bytes()));
}

}  // namespace
}  // namespace stepstone
