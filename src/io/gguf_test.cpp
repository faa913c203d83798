#include "io/gguf.h"

#include "io/gguf_writer.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::message_of;
using testing::ScratchFolder;

std::vector<std::byte> bytes_of_floats(const std::vector<float>& values) {
  const auto* begin = reinterpret_cast<const std::byte*>(values.data());
  return {begin, begin + values.size() * sizeof(float)};
}

GgufWriter sample() {
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("true", true);
  writer.set("u32", std::uint32_t{7});
  writer.set("i32", std::int32_t{-7});
  writer.set("u64", ~std::uint64_t{0});
  writer.set("f32", 0.5f);
  writer.set("words", std::vector<std::string>{"a", "", "\xff", "名"});
  writer.set("ints", std::vector<std::int32_t>{1, -2, 3});
  writer.set("floats", std::vector<float>{0.5f, -1});
  writer.set("f32", 0.25f);  // replaces
  writer.add("a", BlockType::f32, {2, 3}, [] { return bytes_of_floats({1, 2, 3, 4, 5, 6}); });
  writer.add("b", BlockType::f32, {1}, [] { return bytes_of_floats({9}); });
  return writer;
}

TEST(Gguf, WhatIsWrittenIsRead) {
  ScratchFolder folder;
  sample().write(folder / "m.gguf");
  const GgufFile file = GgufFile::open(folder / "m.gguf");
  EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
  EXPECT_TRUE(file.get<bool>("true"));
  EXPECT_EQ(file.get<int>("u32"), 7);
  EXPECT_EQ(file.get<std::int64_t>("i32"), -7);
  EXPECT_EQ(file.get<float>("f32"), 0.25f);
  EXPECT_EQ(file.get<double>("i32"), -7.0);
  EXPECT_EQ(file.get<std::vector<std::string>>("words"),
            (std::vector<std::string>{"a", "", "\xff", "名"}));
  EXPECT_EQ(file.strings("words").at(3), "名");
  EXPECT_EQ(file.get<std::vector<int>>("ints"), (std::vector<int>{1, -2, 3}));
  EXPECT_EQ(file.get<std::vector<float>>("floats"), (std::vector<float>{0.5f, -1}));
  EXPECT_EQ(file.get_or("absent", 3), 3);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(file.tensor("a").shape(), Shape({2, 3}));
  EXPECT_EQ(file.tensor("a").data<float>()[5], 6);
  EXPECT_EQ(file.tensor("b").data<float>()[0], 9);
  EXPECT_EQ(folder.listing(), "m.gguf");
}

TEST(Gguf, MetadataIsCopiedAsItIs) {
  ScratchFolder folder;
  sample().write(folder / "m.gguf");
  const GgufFile file = GgufFile::open(folder / "m.gguf");
  GgufWriter writer;
  for (const auto& [key, value] : file.metadata()) writer.set(key, value);
  writer.write(folder / "copy.gguf");
  const GgufFile copy = GgufFile::open(folder / "copy.gguf");
  ASSERT_EQ(copy.metadata().size(), file.metadata().size());
  for (const auto& [key, value] : file.metadata()) {
    const GgufValue& other = copy.metadata().at(key);
    EXPECT_EQ(other.kind, value.kind) << key;
    EXPECT_EQ(other.array, value.array) << key;
    EXPECT_TRUE(std::ranges::equal(other.bytes, value.bytes)) << key;
  }
}

TEST(Gguf, WrongTypesAreNamed) {
  ScratchFolder folder;
  sample().write(folder / "m.gguf");
  const GgufFile file = GgufFile::open(folder / "m.gguf");
  const auto refused = [&](auto&& call, const std::string& field) {
    EXPECT_EQ(testing::format_error_mismatch(call, field), "");
  };
  refused([&] { file.get<int>("words"); }, "words");
  refused([&] { file.get<int>("f32"); }, "f32");
  refused([&] { file.get<std::string>("u32"); }, "u32");
  refused([&] { file.get<bool>("u32"); }, "u32");
  refused([&] { file.get<std::int64_t>("u64"); }, "u64");
  refused([&] { file.get<std::uint32_t>("i32"); }, "i32");
  refused([&] { file.get<std::vector<int>>("u32"); }, "u32");
  refused([&] { file.get<int>("absent"); }, "absent");
  refused([&] { file.strings("ints"); }, "ints");
  refused([&] { file.tensor("c"); }, "c");
  EXPECT_NE(message_of<FormatError>([&] { file.get<int>("f32"); }).find("byte"), std::string::npos);
}

TEST(Gguf, WriterRefusesWhatTheFormatCannotHold) {
  GgufWriter writer;
  const auto nothing = [] { return std::vector<std::byte>(); };
  EXPECT_THROW(writer.set("", true), UsageError);
  EXPECT_THROW(writer.add("", BlockType::f32, {1}, nothing), UsageError);
  EXPECT_THROW(writer.add(std::string(64, 'n'), BlockType::f32, {1}, nothing), UsageError);
  EXPECT_THROW(writer.add("a", BlockType::q4_k, {2, 128}, nothing), UsageError);
  EXPECT_THROW(writer.add("a", BlockType::f32, {1, 1, 1, 1, 1}, nothing), UsageError);
  EXPECT_THROW(writer.add("a", BlockType::f32, {0}, nothing), UsageError);
  writer.add("a", BlockType::f32, {1}, nothing);
  EXPECT_THROW(writer.add("a", BlockType::f32, {1}, nothing), UsageError);
  ScratchFolder folder;
  EXPECT_THROW(writer.write(folder / "m.gguf"), Error);  // no bytes are produced
  EXPECT_EQ(folder.listing(), "");
}

}  // namespace
}  // namespace stepstone
