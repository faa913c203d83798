#include "data/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>
#include <fstream>

#include "core/error.h"
#include "core/random.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/json.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::ScratchFolder;

std::vector<std::int32_t> document(int i, std::int64_t vocab) {
  Random random(3, static_cast<std::uint64_t>(i));
  std::vector<std::int32_t> out(random.below(9));
  for (auto& id : out) {
    id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab)));
  }
  return out;
}

std::vector<std::uint8_t> mask_of(const std::vector<std::int32_t>& tokens) {
  std::vector<std::uint8_t> out;
  for (const std::int32_t id : tokens) out.push_back(id % 3 == 0);
  return out;
}

void write(const std::filesystem::path& folder, std::int64_t vocab, bool mask,
           std::int64_t tokens_per_shard, int documents = 40) {
  ShardWriter writer(folder, {vocab, {11, 22}, mask, tokens_per_shard});
  for (int i = 0; i < documents; ++i) {
    const auto tokens = document(i, vocab);
    writer.add(tokens, 3 * static_cast<std::int64_t>(tokens.size()),
               mask ? mask_of(tokens) : std::vector<std::uint8_t>{});
  }
  writer.finish();
}

void check(const OpenedShards& opened, std::int64_t vocab, bool mask) {
  ASSERT_EQ(opened.dataset.documents(), 40);
  EXPECT_EQ(opened.info.text_bytes, 3 * opened.dataset.tokens());
  EXPECT_EQ(opened.info.vocab_size, vocab);
  for (int i = 0; i < 40; ++i) {
    const auto expected = document(i, vocab);
    const TokenRange range = opened.dataset.document(i);
    ASSERT_EQ(range.size(), static_cast<std::int64_t>(expected.size()));
    std::vector<std::int32_t> tokens(expected.size());
    opened.dataset.copy_tokens(range, tokens.data());
    EXPECT_EQ(tokens, expected);
    std::vector<std::uint8_t> bits(expected.size());
    opened.dataset.copy_mask(range, bits.data());
    EXPECT_EQ(bits, mask ? mask_of(expected) : std::vector<std::uint8_t>(expected.size(), 1));
  }
}

TEST(Shards, RoundTrip) {
  for (const std::int64_t vocab : {300, 65536, 100000}) {
    for (const bool mask : {false, true}) {
      for (const std::int64_t per_shard : {1, 17, 1 << 20}) {
        const ScratchFolder scratch;
        write(scratch / "d", vocab, mask, per_shard);
        check(open_shards(scratch / "d"), vocab, mask);
        check(open_shards(scratch / "d", {.verify = false}), vocab, mask);
      }
    }
  }
}

TEST(Shards, SameInputSameBytes) {
  const ScratchFolder scratch;
  write(scratch / "a", 300, true, 50);
  write(scratch / "b", 300, true, 50);
  for (const char* name : {"index.json", "manifest.json", "tokens-00000.shard"}) {
    EXPECT_EQ(read_file(scratch / "a" / name), read_file(scratch / "b" / name)) << name;
  }
}

// Every flipped bit and every truncation of every file of a small dataset is noticed.
TEST(Shards, DamageIsNoticed) {
  const ScratchFolder scratch;
  write(scratch / "good", 300, true, 1 << 20, 5);
  for (const char* name : {"index.json", "tokens-00000.shard", "manifest.json"}) {
    const std::string good = read_file(scratch / "good" / name);
    std::filesystem::copy(scratch / "good", scratch / "bad");
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      testing::put(scratch / "bad" / name, bad);
      EXPECT_THROW(open_shards(scratch / "bad"), FormatError) << name << " byte " << i;
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      testing::put(scratch / "bad" / name, good.substr(0, size));
      EXPECT_THROW(open_shards(scratch / "bad"), FormatError) << name << " cut to " << size;
    }
    testing::put(scratch / "bad" / name, good + "x");
    EXPECT_THROW(open_shards(scratch / "bad"), FormatError) << name << " with a byte more";
    testing::put(scratch / "bad" / name, good);
    EXPECT_NO_THROW(open_shards(scratch / "bad"));
    std::filesystem::remove_all(scratch / "bad");
  }
  std::filesystem::copy(scratch / "good", scratch / "bad");
  std::filesystem::remove(scratch / "bad" / "tokens-00000.shard");
  EXPECT_THROW(open_shards(scratch / "bad"), Error);
  EXPECT_THROW(open_shards(scratch / "nothing"), Error);
}

// A header whose own hash is right, so that the field itself must be refused.
std::string forged(const std::string& good, std::size_t offset, std::uint64_t value,
                   std::size_t size = 8) {
  std::string bad = good;
  std::memcpy(bad.data() + offset, &value, size);
  const std::uint64_t hash = XXH3_64bits(bad.data(), 88);
  std::memcpy(bad.data() + 88, &hash, 8);
  return bad;
}

TEST(Shards, ForgedHeadersAreRefusedForTheirReason) {
  const ScratchFolder scratch;
  write(scratch / "d", 300, true, 1 << 20, 5);
  const auto path = scratch / "d" / "tokens-00000.shard";
  const std::string good = read_file(path);
  const struct {
    std::size_t offset, size;
    std::uint64_t value;
    const char* field;
  } cases[] = {
      {0, 8, 0x4141414141414141, "magic"},
      {8, 4, 2, "version"},
      {12, 4, 3, "token bytes"},
      {12, 4, 0, "token bytes"},
      {16, 8, ~std::uint64_t{0}, "document index"},
      {16, 8, std::uint64_t{1} << 63, "document index"},
      {16, 8, 0, "document index"},
      {24, 8, ~std::uint64_t{0}, "documents"},
      {24, 8, ~std::uint64_t{0} - 1, "document index"},
      {24, 8, std::uint64_t{1} << 61, "document index"},
      {24, 8, 1 << 20, "document index"},
      {32, 8, 2, "tokens"},
      {32, 8, 301, "vocabulary"},
      {40, 8, 1, "text_bytes"},
      {48, 8, 2, "flags"},
      {48, 8, 0, "end"},
      {56, 8, 5, "tokenizer hash"},
      {72, 8, 5, "payload hash"},
  };
  for (const auto& c : cases) {
    testing::put(path, forged(good, c.offset, c.value, c.size));
    EXPECT_EQ(testing::format_error_mismatch([&] { open_shards(scratch / "d"); }, c.field), "")
        << c.offset << " = " << c.value;
  }
  testing::put(path, good.substr(0, 100));
  EXPECT_EQ(testing::format_error_mismatch([&] { open_shards(scratch / "d"); }, "header"), "");
}

TEST(Shards, KeepsWhatIsNotADataset) {
  const ScratchFolder scratch;
  std::filesystem::create_directory(scratch / "d");
  testing::put(scratch / "d" / "thesis.txt", "years of work");
  EXPECT_THROW(ShardWriter(scratch / "d", {.vocab_size = 3}), UsageError);
  EXPECT_EQ(read_file(scratch / "d" / "thesis.txt"), "years of work");
}

// Not a folder of something else, whatever has become of the index.
TEST(Shards, ADatasetWithADamagedIndexIsStillOne) {
  const auto message_of = [](auto&& what) {
    try {
      what();
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("no FormatError");
  };
  for (const bool lost : {false, true}) {
    const ScratchFolder scratch;
    const auto folder = scratch / "d" / "train", index = folder / "index.json";
    write(folder, 300, false, 10);
    std::string text = read_file(index);
    text[text.find("stepstone-shards")] ^= 1;
    std::filesystem::remove(index);
    if (!lost) testing::put(index, text);
    EXPECT_TRUE(is_shard_folder(folder));
    EXPECT_TRUE(is_token_folder(scratch / "d"));
    const std::string expected =
        index.string() + (lost ? ": document: is missing: the dataset is damaged"
                               : ": hash: differs from manifest.json: the dataset is damaged");
    EXPECT_EQ(message_of([&] { open_shards(folder); }), expected);
    EXPECT_EQ(message_of([&] { ShardWriter(folder, {.vocab_size = 3}); }), expected);
  }
}

TEST(Shards, AnUnfinishedWriterLeavesNothing) {
  const ScratchFolder scratch;
  write(scratch / "d", 300, false, 10);
  {
    ShardWriter writer(scratch / "d", {.vocab_size = 3});
    const std::int32_t tokens[] = {0, 1};
    writer.add(tokens, 2);
  }
  { ShardWriter writer(scratch / "e", {.vocab_size = 3}); }
  EXPECT_EQ(scratch.listing(), "d");
  check(open_shards(scratch / "d"), 300, false);
}

TEST(Shards, RefusesBadTokensAndEmptyData) {
  const ScratchFolder scratch;
  ShardWriter writer(scratch / "d", {.vocab_size = 3});
  const std::int32_t high[] = {3}, negative[] = {-1};
  const std::uint8_t mask[] = {1};
  EXPECT_THROW(writer.add(high, 1), UsageError);
  EXPECT_THROW(writer.add(negative, 1), UsageError);
  EXPECT_THROW(writer.add(std::span(high), 1, mask), UsageError);
  EXPECT_THROW(writer.finish(), UsageError);
}

TEST(Shards, OtherTokenizer) {
  const ScratchFolder scratch;
  write(scratch / "d", 300, false, 1 << 20);
  const auto opened = open_shards(scratch / "d");
  EXPECT_NO_THROW(require_tokenizer(opened, scratch / "d", {11, 22}, 300));
  EXPECT_THROW(require_tokenizer(opened, scratch / "d", {11, 23}, 300), FormatError);
  EXPECT_THROW(require_tokenizer(opened, scratch / "d", {11, 22}, 301), FormatError);
}

TEST(Shards, FullDisk) {
  const ScratchFolder scratch;
  const auto mount = testing::ScratchMount::create(scratch, "size=64k");
  if (!mount) GTEST_SKIP() << "mounting is not allowed here";
  EXPECT_THROW(write(scratch / "d", 300, false, 1 << 20, 40000), IoError);
  EXPECT_EQ(scratch.listing(), "");
}

}  // namespace
}  // namespace stepstone
