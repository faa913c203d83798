#include "io/atomic_folder.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "core/random.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::message_of;
using testing::put;
using testing::ScratchFolder;
using testing::ScratchMount;

void publish_generation(const fs::path& target, int generation, std::size_t bytes = 1000) {
  AtomicFolder folder(target);
  for (const char* name : {"a.bin", "b.bin", "sub/c.bin"}) {
    fs::create_directories((folder.path() / name).parent_path());
    write_file(folder.path() / name,
               fmt::format("{}\n{}", generation, std::string(bytes, name[0])));
  }
  folder.commit();
}

// The generation that stands at `target`, which must be whole.
int generation_at(const fs::path& target) {
  recover_folder(target);
  verify_folder(target);
  const int a = std::stoi(read_file(target / "a.bin"));
  EXPECT_EQ(a, std::stoi(read_file(target / "b.bin")));
  EXPECT_EQ(a, std::stoi(read_file(target / "sub/c.bin")));
  return a;
}

TEST(AtomicFolder, PublishesAndReplaces) {
  ScratchFolder folder;
  publish_generation(folder / "stone", 1);
  EXPECT_EQ(generation_at(folder / "stone"), 1);
  publish_generation(folder.path() / "stone/", 2);
  EXPECT_EQ(generation_at(folder / "stone"), 2);
  EXPECT_EQ(folder.listing(), "stone");
  const auto manifest = read_manifest(folder / "stone");
  ASSERT_EQ(manifest.size(), 3u);
  EXPECT_EQ(manifest[2].name, "sub/c.bin");
  EXPECT_EQ(manifest[2].size, 1002u);
}

TEST(AtomicFolder, AbandonedLeavesNothing) {
  ScratchFolder folder;
  publish_generation(folder / "stone", 1);
  {
    AtomicFolder next(folder / "stone");
    put(next.path() / "a.bin", "2");
  }
  {
    AtomicFolder next(folder / "stone");
    fs::create_symlink("/etc/passwd", next.path() / "link");
    EXPECT_THROW(next.commit(), Error);
  }
  EXPECT_EQ(generation_at(folder / "stone"), 1);
  EXPECT_EQ(folder.listing(), "stone");
  put(folder / "file", "x");
  EXPECT_THROW(AtomicFolder(folder / "file"), IoError);
  EXPECT_EQ(read_file(folder / "file"), "x");
}

TEST(AtomicFolder, VerifyFindsDamageInEveryByte) {
  ScratchFolder folder;
  const fs::path stone = folder / "stone";
  publish_generation(stone, 7, 40);
  for (const char* name : {"a.bin", "b.bin", "sub/c.bin", kManifestName}) {
    const fs::path path = stone / name;
    const std::string good = read_file(path);
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      put(path, bad);
      EXPECT_THROW(verify_folder(stone), FormatError) << name << " byte " << i;
      put(path, good.substr(0, i));
      EXPECT_THROW(verify_folder(stone), FormatError) << name << " cut at " << i;
    }
    put(path, good);
  }
  verify_folder(stone);
  put(stone / "b.bin", "short");
  const std::string message = message_of<FormatError>([&] { verify_folder(stone); });
  EXPECT_TRUE(message.starts_with((stone / "b.bin").string())) << message;
  fs::remove(stone / "b.bin");
  EXPECT_EQ(format_error_mismatch([&] { verify_folder(stone); }, "file"), "");
  fs::remove(stone / kManifestName);
  EXPECT_THROW(verify_folder(stone), IoError);
}

TEST(AtomicFolder, ManifestCannotLeadOutside) {
  ScratchFolder folder;
  fs::create_directory(folder / "stone");
  put(folder / "secret", "");
  put(folder / "stone" / kManifestName,
      R"({"files": [{"name": "../secret", "size": 0, "xxh3_128": ")" + std::string(32, '0') +
          R"("}], "format": "stepstone-manifest-1"})");
  EXPECT_EQ(format_error_mismatch([&] { verify_folder(folder / "stone"); }, "files.name"), "");
}

TEST(AtomicFolder, FullDisk) {
  ScratchFolder folder;
  const auto mount = ScratchMount::create(folder, "size=128k");
  if (!mount) GTEST_SKIP() << "mounting a small file system needs root";
  publish_generation(folder / "stone", 1);
  // Every size from "fits" to "fails at the first write" in steps of a page.
  int failures = 0;
  for (std::size_t bytes = 4096; bytes < 100'000; bytes += 4096) {
    try {
      publish_generation(folder / "stone", 2, bytes);
      publish_generation(folder / "stone", 1);
    } catch (const IoError& error) {
      ++failures;
      EXPECT_EQ(error.error_number(), ENOSPC) << error.what();
    }
    EXPECT_EQ(generation_at(folder / "stone"), 1);
    EXPECT_EQ(folder.listing(), "stone");
  }
  EXPECT_GT(failures, 10);
}

TEST(AtomicFolder, NamesThatCannotBe) {
  ScratchFolder folder;
  EXPECT_THROW(AtomicFolder(folder / std::string(256, 'n')), IoError);
  EXPECT_THROW(AtomicFolder("/dev/null/such"), IoError);
  EXPECT_THROW(verify_folder(folder / std::string(5000, 'n')), IoError);
  EXPECT_EQ(folder.listing(), "");
}

TEST(AtomicFolder, ReadOnly) {
  ScratchFolder folder;
  auto mount = ScratchMount::create(folder, "size=128k");
  if (!mount) GTEST_SKIP() << "mounting a read-only file system needs root";
  publish_generation(folder / "stone", 1);
  mount->make_read_only();
  const std::string message = message_of<IoError>([&] { publish_generation(folder / "stone", 2); });
  EXPECT_NE(message.find("Read-only"), std::string::npos) << message;
  EXPECT_EQ(generation_at(folder / "stone"), 1);
}

TEST(AtomicFolder, TwoStepReplacementAndRecovery) {
  ScratchFolder folder;
  const fs::path stone = folder / "stone";
  publish_generation(stone, 1);
  publish_generation(folder / "next", 2);
  replace_folder_in_two_steps(folder / "next", stone);
  EXPECT_EQ(generation_at(stone), 2);
  EXPECT_EQ(folder.listing(), "stone");
  // A crash between the two renames.
  fs::rename(stone, folder / ".stone.old");
  EXPECT_EQ(generation_at(stone), 2);
  EXPECT_EQ(folder.listing(), "stone");
  fs::rename(stone, folder / ".stone.old");
  publish_generation(stone, 3);
  EXPECT_EQ(generation_at(stone), 3);
  EXPECT_EQ(folder.listing(), "stone");
  // The second rename fails: the old folder is put back.
  EXPECT_THROW(replace_folder_in_two_steps(folder / "missing", stone), IoError);
  EXPECT_EQ(generation_at(stone), 3);
}

TEST(AtomicFolder, SurvivesKillAtRandomMoments) {
  ScratchFolder folder;
  const fs::path stone = folder / "stone";
  const auto start = std::chrono::steady_clock::now();
  publish_generation(stone, 0);
  const auto one = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  const auto longest = static_cast<std::uint64_t>(2 * one.count() + 1000);
  Random random(20240607);
  // The writer says when it begins a publication; the kill comes a while after the first, second or
  // third. How long that is on a busy machine decides what a round hits, so rounds go on until
  // enough of them have hit what they are for.
  int last = 0, inside = 0, progressed = 0;
  for (int round = 0; round < 60 || inside < 10 || progressed < 5; ++round) {
    ASSERT_LT(round, 3000) << inside << " kills inside a publication, " << progressed << " after";
    int begun[2];
    ASSERT_EQ(::pipe(begun), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      for (int generation = last + 1;; ++generation) {
        if (::write(begun[1], "b", 1) != 1) ::_exit(1);
        publish_generation(stone, generation, 100'000);
      }
    }
    ::close(begun[1]);
    char byte;
    for (auto wait = 1 + random.below(3); wait > 0; --wait)
      ASSERT_EQ(::read(begun[0], &byte, 1), 1);
    ::usleep(static_cast<useconds_t>(random.below(longest)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(begun[0]);
    ASSERT_TRUE(WIFSIGNALED(status));
    inside += folder.listing() != "stone";
    const int now = generation_at(stone);
    EXPECT_GE(now, last);
    progressed += now > last;
    last = now;
  }
  publish_generation(stone, last + 1);
  EXPECT_EQ(folder.listing(), "stone") << "left-overs of killed writers must be swept";
}

}  // namespace
}  // namespace stepstone
