#include "io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "io/paths.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::message_of;
using testing::put;
using testing::ScratchFolder;

TEST(File, ReadsWhole) {
  ScratchFolder folder;
  std::string text(3'000'000, 'x');
  text[1'234'567] = '\0';
  put(folder / "a", text);
  EXPECT_EQ(read_file(folder / "a"), text);
  put(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
  EXPECT_NE(read_file("/proc/self/status").find("Name:"), std::string::npos);
}

TEST(File, RefusesTooLargeMissingAndFolder) {
  ScratchFolder folder;
  put(folder / "a", std::string(100, 'x'));
  EXPECT_EQ(read_file(folder / "a", 100).size(), 100u);
  EXPECT_EQ(format_error_mismatch([&] { read_file(folder / "a", 99); }, "file size"), "");
  const std::string missing = message_of<IoError>([&] { read_file(folder / "b"); });
  EXPECT_NE(missing.find((folder / "b").string()), std::string::npos);
  EXPECT_NE(missing.find("No such file"), std::string::npos);
  EXPECT_NE(message_of<IoError>([&] { read_file(folder.path()); }).find("directory"),
            std::string::npos);
}

// Nothing waits for a writer that never comes.
TEST(File, RefusesWhatIsNoFile) {
  const ScratchFolder folder;
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(message_of<Error>([&] { read_file(pipe); }),
            pipe.string() + ": is a named pipe, not a file");
  EXPECT_THROW(MappedFile::open(pipe), Error);
  EXPECT_EQ(message_of<Error>([] { read_file("/dev/zero"); }),
            "/dev/zero: is a device, not a file");
  EXPECT_THROW(AtomicFile("/dev/null"), Error);
}

// A pipe that a shell has opened is read to its end, but not mapped.
TEST(File, ReadsAPipeThatWasGiven) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const std::string name = fmt::format("/dev/fd/{}", ends[0]);
  EXPECT_THROW(MappedFile::open(name), Error);
  std::thread writer([&] {
    for (int i = 0; i < 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      EXPECT_EQ(::write(ends[1], "text\n", 5), 5);
    }
    ::close(ends[1]);
  });
  EXPECT_EQ(read_file(name), "text\ntext\ntext\n");
  writer.join();
  ::close(ends[0]);
}

TEST(MappedFile, SmallAndLarge) {
  ScratchFolder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{3} << 20}) {
    std::string text(size, 'a');
    if (size > 0) text.back() = 'z';
    put(folder / "f", text);
    const auto file = MappedFile::open(folder / "f");
    ASSERT_EQ(file->bytes().size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file->bytes().data()) % 64, 0u);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(file->bytes().data()), size), text);
    file->check_unchanged();
  }
}

TEST(MappedFile, NoticesShrinking) {
  ScratchFolder folder;
  const auto large = folder / "large", small = folder / "small";
  put(large, std::string(std::size_t{2} << 20, 'a'));
  put(small, std::string(1000, 'a'));
  const auto mapped = MappedFile::open(large);
  const auto copied = MappedFile::open(small);
  fs::resize_file(large, 4096);
  fs::resize_file(small, 0);
  EXPECT_EQ(format_error_mismatch([&] { mapped->check_unchanged(); }, "file size"), "");
  copied->check_unchanged();
  EXPECT_EQ(static_cast<char>(copied->bytes()[999]), 'a');
}

// What exists past its end may not be touched: the process ends, but says why.
TEST(MappedFileDeathTest, ALostMappingNamesItsFile) {
  ScratchFolder folder;
  put(folder / "large", std::string(std::size_t{2} << 20, 'a'));
  const auto touch_lost_byte = [&] {
    exit_on_lost_mapping();
    const auto mapped = MappedFile::open(folder / "large");
    fs::resize_file(folder / "large", 4096);
    const volatile std::byte lost = mapped->bytes()[1 << 20];
    (void)lost;
  };
  EXPECT_EXIT(touch_lost_byte(), ::testing::ExitedWithCode(1), "large: was cut short");
}

TEST(Paths, Containment) {
  ScratchFolder folder;
  const fs::path root = folder / "root";
  fs::create_directories(root / "sub");
  put(root / "sub" / "a", "a");
  put(folder / "secret", "s");
  fs::create_symlink(folder / "secret", root / "escape");
  fs::create_directory_symlink(folder.path(), root / "up");
  fs::create_symlink("sub/a", root / "inside");
  EXPECT_EQ(contained_path(root, "sub/a", "index", "f"), root / "sub/a");
  EXPECT_EQ(contained_path(root, "not-yet", "index", "f"), root / "not-yet");
  EXPECT_EQ(contained_path(root, "inside", "index", "f"), root / "inside");
  for (const std::string& bad :
       {std::string(), std::string("/etc/passwd"), std::string("../secret"),
        std::string("sub/../../secret"), std::string(".."), std::string("escape"),
        std::string("up/secret"), std::string("up/other"), std::string("a\0b", 3),
        std::string(".")}) {
    EXPECT_EQ(format_error_mismatch([&] { contained_path(root, bad, "index", "f"); }, "f"), "")
        << bad;
  }
  // "rootless" begins with "root", but is no part of it.
  put(folder / "rootless", "s");
  fs::create_symlink(folder / "rootless", root / "sibling");
  EXPECT_EQ(format_error_mismatch([&] { contained_path(root, "sibling", "index", "f"); }, "f"), "");
}

TEST(Paths, Home) {
  ::setenv("STEPSTONE_HOME", "/somewhere", 1);
  EXPECT_EQ(stepstone_home(), "/somewhere");
  ::unsetenv("STEPSTONE_HOME");
  ::setenv("HOME", "/h", 1);
  EXPECT_EQ(stepstone_home(), "/h/.stepstone");
  EXPECT_EQ(expand_home("~/x"), "/h/x");
  EXPECT_EQ(expand_home("~x"), "~x");
}

}  // namespace
}  // namespace stepstone
