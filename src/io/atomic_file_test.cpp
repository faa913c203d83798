#include "io/atomic_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::message_of;
using testing::put;
using testing::ScratchFolder;
using testing::ScratchMount;

TEST(Hash, KnownValues) {
  // What `xxh128sum` prints for empty input.
  EXPECT_EQ(hash_bytes("").hex(), "99aa06d3014798d86001c324468d497f");
  ScratchFolder folder;
  put(folder / "f", std::string(5'000'000, 'q'));
  EXPECT_EQ(hash_file(folder / "f"), hash_bytes(std::string(5'000'000, 'q')));
}

TEST(AtomicFile, AppearsWholeOrNotAtAll) {
  ScratchFolder folder;
  {
    AtomicFile file(folder / "a");
    file.write("hello ");
    EXPECT_FALSE(fs::exists(folder / "a"));
    file.write("world");
    EXPECT_EQ(file.size(), 11u);
    EXPECT_EQ(file.hash(), hash_bytes("hello world"));
    file.commit();
    EXPECT_THROW(file.write("more"), Error);
    EXPECT_THROW(file.commit(), Error);
  }
  EXPECT_EQ(read_file(folder / "a"), "hello world");
  {
    AtomicFile file(folder / "a");
    file.write("abandoned");
  }
  EXPECT_EQ(read_file(folder / "a"), "hello world");
  EXPECT_EQ(folder.listing(), "a");
}

TEST(AtomicFile, RefusesFoldersAndMakesParents) {
  ScratchFolder folder;
  fs::create_directory(folder / "d");
  EXPECT_THROW(AtomicFile(folder / "d"), IoError);
  write_file(folder / "no/such", "x");
  EXPECT_EQ(read_file(folder / "no/such"), "x");
  const std::string message = message_of<IoError>([&] { write_file(folder / "no/such/x", "x"); });
  EXPECT_NE(message.find((folder / "no/such/x").string()), std::string::npos);
  EXPECT_EQ(folder.listing(), "d no");
}

TEST(AtomicFile, LongNames) {
  ScratchFolder folder;
  write_file(folder / std::string(255, 'n'), "x");
  EXPECT_EQ(read_file(folder / std::string(255, 'n')), "x");
  EXPECT_THROW(write_file(folder / std::string(256, 'n'), "x"), IoError);
  EXPECT_THROW(AtomicFile(folder / std::string(5000, 'n')), IoError);
}

TEST(AtomicFile, SweepsOnlyDeadWriters) {
  ScratchFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(folder / "a");
    file.write("partial");
    ::_exit(0);  // like kill -9: no destructor runs
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(folder.listing().starts_with(".a.tmp-")) << folder.listing();
  AtomicFile alive(folder / "a");
  alive.write("first");
  write_file(folder / "a", "second");
  alive.commit();
  EXPECT_EQ(read_file(folder / "a"), "first");
  EXPECT_EQ(folder.listing(), "a");
}

TEST(AtomicFile, FullDisk) {
  ScratchFolder folder;
  const auto mount = ScratchMount::create(folder, "size=64k");
  if (!mount) GTEST_SKIP() << "mounting a small file system needs root";
  write_file(folder / "a", "old");
  const std::string message =
      message_of<IoError>([&] { write_file(folder / "a", std::string(200'000, 'x')); });
  EXPECT_NE(message.find("No space left"), std::string::npos) << message;
  EXPECT_NE(message.find((folder / "a").string() + ":"), std::string::npos) << message;
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(folder.listing(), "a");
}

TEST(AtomicFile, ReadOnlyFolder) {
  ScratchFolder folder;
  auto mount = ScratchMount::create(folder, "size=64k");
  if (!mount) GTEST_SKIP() << "mounting a read-only file system needs root";
  write_file(folder / "a", "old");
  mount->make_read_only();
  const std::string message = message_of<IoError>([&] { write_file(folder / "a", "new"); });
  EXPECT_NE(message.find("Read-only"), std::string::npos) << message;
  EXPECT_NE(message.find((folder / "a").string()), std::string::npos) << message;
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(folder.listing(), "a");
}

}  // namespace
}  // namespace stepstone
