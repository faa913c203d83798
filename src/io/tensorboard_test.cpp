#include "io/tensorboard.h"

#include <algorithm>
#include <bit>
#include <map>
#include <vector>

#include "io/byte_reader.h"
#include "io/crc32c.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::ScratchFolder;
using testing::ScratchMount;

// The fields of one protocol buffer message, by number: what its reader would see.
std::map<int, std::vector<std::string>> fields_of(std::string_view message) {
  ByteReader reader(std::as_bytes(std::span(message.data(), message.size())), "message");
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = reader.read<std::uint8_t>("varint");
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  std::map<int, std::vector<std::string>> fields;
  while (reader.remaining() > 0) {
    const std::uint64_t key = varint();
    std::string value;
    switch (key & 7) {
      case 0:
        value = fmt::format("{}", static_cast<std::int64_t>(varint()));
        break;
      case 1:
        value = fmt::format("{}", reader.read<double>("double"));
        break;
      case 5:
        value = fmt::format("{}", reader.read<float>("float"));
        break;
      default:
        value = reader.read_string(varint(), "bytes");
    }
    fields[static_cast<int>(key >> 3)].push_back(value);
  }
  return fields;
}

// The records of an event file, checksums checked.
std::vector<std::map<int, std::vector<std::string>>> events_of(const fs::path& path) {
  const std::string bytes = read_file(path);
  ByteReader reader(std::as_bytes(std::span(bytes.data(), bytes.size())), path.string());
  const auto masked = [](std::string_view text) {
    return std::rotr(crc32c(text), 15) + 0xa282ead8u;
  };
  std::vector<std::map<int, std::vector<std::string>>> events;
  while (reader.remaining() > 0) {
    const auto length = reader.read<std::uint64_t>("length");
    const std::string_view head(reinterpret_cast<const char*>(&length), sizeof length);
    EXPECT_EQ(reader.read<std::uint32_t>("crc"), masked(head));
    const std::string_view data = reader.read_string(length, "data");
    EXPECT_EQ(reader.read<std::uint32_t>("crc"), masked(data));
    events.push_back(fields_of(data));
  }
  return events;
}

TEST(Crc32c, KnownValues) {
  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(TensorBoard, RecordsHoldWhatWasWritten) {
  ScratchFolder folder;
  TensorBoardWriter writer(folder / "tb");
  writer.scalar("train/loss", 300, 1.5f);
  const TensorBoardWriter::Scalar two[] = {{"a", 1}, {"b", -2}};
  writer.scalars(-1, two);
  writer.text("sample", 7, "# hi \xff");
  const auto events = events_of(writer.path());  // without closing: everything is there
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].at(3)[0], "brain.Event:2");
  EXPECT_EQ(events[1].at(2)[0], "300");
  auto value = fields_of(fields_of(events[1].at(5)[0]).at(1)[0]);
  EXPECT_EQ(value.at(1)[0], "train/loss");
  EXPECT_EQ(value.at(2)[0], "1.5");
  EXPECT_EQ(events[2].at(2)[0], "-1");
  EXPECT_EQ(fields_of(events[2].at(5)[0]).at(1).size(), 2u);
  value = fields_of(fields_of(events[3].at(5)[0]).at(1)[0]);
  EXPECT_EQ(fields_of(value.at(8)[0]).at(8)[0], "# hi \xef\xbf\xbd");
}

TEST(TensorBoard, ResumeAddsALaterFile) {
  ScratchFolder folder;
  const TensorBoardWriter first(folder.path());
  const TensorBoardWriter second(folder.path(), 40);
  const TensorBoardWriter third(folder.path(), 50);
  EXPECT_LT(first.path().string(), second.path().string());
  EXPECT_LT(second.path().string(), third.path().string());
  const auto events = events_of(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].at(2)[0], "40");
  EXPECT_EQ(fields_of(events[1].at(7)[0]).at(1)[0], "1");
}

TEST(TensorBoard, FullDiskLeavesWholeRecords) {
  ScratchFolder folder;
  const auto mount = ScratchMount::create(folder, "size=16k");
  if (!mount) GTEST_SKIP() << "mounting a small file system needs root";
  TensorBoardWriter writer(folder.path());
  writer.scalar("before", 1, 1);
  EXPECT_THROW(writer.text("large", 2, std::string(100'000, 'x')), IoError);
  writer.scalar("after", 3, 1);
  EXPECT_EQ(events_of(writer.path()).size(), 3u);
}

}  // namespace
}  // namespace stepstone
