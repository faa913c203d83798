#include "io/byte_reader.h"

#include <gtest/gtest.h>

#include <limits>

#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::format_error_mismatch;

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

TEST(ByteReader, ReadsLittleEndianInOrder) {
  const std::string text(
      "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x00\x00\x80\x3f"
      "abc\0\0",
      20);
  ByteReader reader(as_bytes(text), "f");
  EXPECT_EQ(reader.read<std::uint8_t>("a"), 0x01);
  EXPECT_EQ(reader.read<std::uint16_t>("b"), 0x0302);
  EXPECT_EQ(reader.read<std::uint32_t>("c"), 0x07060504u);
  EXPECT_EQ(reader.read_array<std::uint16_t>(2, "d"), (std::vector<std::uint16_t>{0x0908, 0x0b0a}));
  EXPECT_EQ(reader.read<float>("e"), 1.0f);
  EXPECT_EQ(reader.read_string(3, "f"), "abc");
  EXPECT_EQ(reader.offset(), 18u);
  reader.align(4, "pad");
  EXPECT_EQ(reader.offset(), 20u);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_EQ(reader.read_array<double>(0, "none").size(), 0u);
}

TEST(ByteReader, RefusesBeforeAllocating) {
  const std::string text(100, 'x');
  for (const std::uint64_t count :
       {std::uint64_t{13}, std::uint64_t{1} << 40, std::uint64_t{1} << 61,
        (std::uint64_t{1} << 61) + 1, std::numeric_limits<std::uint64_t>::max()}) {
    ByteReader reader(as_bytes(text), "file");
    reader.read<std::uint32_t>("head");
    EXPECT_EQ(format_error_mismatch([&] { reader.read_array<std::uint64_t>(count, "n"); }, "n"),
              "");
    EXPECT_EQ(reader.offset(), 4u);
    EXPECT_EQ(reader.read_array<std::uint64_t>(12, "n").size(), 12u);
  }
  ByteReader reader(as_bytes(text), "file");
  reader.read_bytes(99, "skip");
  const std::string message =
      testing::message_of<FormatError>([&] { reader.read<std::int16_t>("v"); });
  EXPECT_TRUE(message.starts_with("file: v (byte 99): ")) << message;
  EXPECT_EQ(format_error_mismatch([&] { reader.align(8, "pad"); }, "pad"), "");
  EXPECT_EQ(format_error_mismatch([&] { reader.fail("own", "bad"); }, "own"), "");
}

TEST(CheckedArithmetic, Overflow) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_FALSE(checked_add(kMax, 1));
  EXPECT_EQ(checked_mul(std::uint64_t{1} << 31, std::uint64_t{1} << 32), std::uint64_t{1} << 63);
  EXPECT_FALSE(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
}

}  // namespace
}  // namespace stepstone
