#include "io/run_registry.h"

#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <set>

#include "core/random.h"
#include "io/file.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::put;
using testing::ScratchFolder;
using testing::ScratchMount;

RunRecord sample(const std::string& name, std::vector<std::int64_t> parents = {}) {
  RunRecord run;
  run.name = name;
  run.kind = parents.empty() ? "train" : "tune";
  run.out_dir = "/runs/" + name;
  run.parents = std::move(parents);
  run.recipe = {{"model", {{"depth", 4}}}, {"note", "中文 '; DROP TABLE runs; --"}};
  run.data_hashes = {{"a.txt", "00ff"}};
  run.code_version = "0.1.0+abc";
  run.seed = std::numeric_limits<std::uint64_t>::max();
  return run;
}

TEST(RunRegistry, KeepsEveryField) {
  ScratchFolder folder;
  const fs::path path = folder.path() / "home" / "runs.db";
  std::int64_t id = 0;
  {
    RunRegistry registry(path);
    id = registry.insert(sample("one"));
    registry.set_metrics(id, {{"val_loss", 1.5}});
    registry.set_scores(id, {{"qa", {{"mean", 0.9}}}});
    EXPECT_EQ(registry.get(id).status, RunStatus::running);
    EXPECT_EQ(registry.get(id).ended_ms, 0);
    registry.finish(id, RunStatus::done);
  }
  RunRegistry registry(path);
  const RunRecord run = registry.get(id);
  EXPECT_EQ(run.name, "one");
  EXPECT_EQ(run.kind, "train");
  EXPECT_EQ(run.status, RunStatus::done);
  EXPECT_GE(run.ended_ms, run.started_ms);
  EXPECT_GT(run.started_ms, 1'600'000'000'000);
  EXPECT_EQ(run.out_dir, "/runs/one");
  EXPECT_EQ(run.recipe, sample("").recipe);
  EXPECT_EQ(run.data_hashes, sample("").data_hashes);
  EXPECT_EQ(run.code_version, "0.1.0+abc");
  EXPECT_EQ(run.seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(get<double>(run.metrics, "val_loss", ""), 1.5);
  EXPECT_EQ(get<double>(run.scores, "/qa/mean", ""), 0.9);
}

TEST(RunRegistry, ListAndLineage) {
  ScratchFolder folder;
  RunRegistry registry(folder / "runs.db");
  const auto a = registry.insert(sample("a"));
  const auto b = registry.insert(sample("b"));
  const auto c = registry.insert(sample("c", {a, b}));
  const auto d = registry.insert(sample("d", {c, a}));
  registry.finish(b, RunStatus::failed);
  const auto ids = [](const std::vector<RunRecord>& runs) {
    std::vector<std::int64_t> result;
    for (const RunRecord& run : runs) result.push_back(run.id);
    return result;
  };
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(ids(registry.list()), (Ids{d, c, b, a}));
  EXPECT_EQ(ids(registry.list({.kind = "train"})), (Ids{b, a}));
  EXPECT_EQ(ids(registry.list({.status = RunStatus::failed})), (Ids{b}));
  EXPECT_EQ(ids(registry.list({.limit = 2})), (Ids{d, c}));
  EXPECT_EQ(registry.get(c).parents, (Ids{a, b}));
  EXPECT_EQ(ids(registry.lineage(d)), (Ids{d, a, c, b}));
  EXPECT_EQ(ids(registry.lineage(a)), (Ids{a}));
  EXPECT_EQ(registry.find_by_folder("/runs/x/../b/")->id, b);
  EXPECT_FALSE(registry.find_by_folder("/runs/none"));
  EXPECT_THROW(registry.get(99), UsageError);
  EXPECT_THROW(registry.lineage(99), UsageError);
  EXPECT_THROW(registry.finish(99, RunStatus::done), UsageError);
  EXPECT_THROW(registry.set_scores(99, {}), UsageError);
  EXPECT_THROW(registry.insert(sample("e", {99})), UsageError);
  EXPECT_EQ(registry.list().size(), 4u) << "a refused run must leave no row";
}

TEST(RunRegistry, DeadProcessCountsAsStopped) {
  ScratchFolder folder;
  const fs::path path = folder / "runs.db";
  const pid_t child = ::fork();
  if (child == 0) {
    RunRegistry registry(path);
    registry.insert(sample("killed"));
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  RunRegistry registry(path);
  EXPECT_EQ(registry.get(1).status, RunStatus::stopped);
  EXPECT_EQ(registry.list({.status = RunStatus::stopped}).size(), 1u);
  registry.resume(1);
  EXPECT_EQ(registry.get(1).status, RunStatus::running);
}

TEST(RunRegistry, FourProcessesWrite) {
  ScratchFolder folder;
  const fs::path path = folder / "runs.db";
  constexpr int kProcesses = 4, kRuns = 25;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        RunRegistry registry(path);
        for (int i = 0; i < kRuns; ++i) {
          const auto id = registry.insert(sample(fmt::format("p{}-{}", p, i)));
          registry.set_metrics(id, {{"owner", p}});
          registry.finish(id, RunStatus::done);
        }
      } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  RunRegistry registry(path);
  std::set<std::string> names;
  for (const RunRecord& run : registry.list({.status = RunStatus::done, .limit = 1000})) {
    names.insert(run.name);
    EXPECT_TRUE(run.name.starts_with(fmt::format("p{}-", get<int>(run.metrics, "owner", ""))));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kProcesses * kRuns));
}

TEST(RunRegistry, DamagedFile) {
  ScratchFolder folder;
  const fs::path path = folder / "runs.db";
  {
    RunRegistry registry(path);
    for (int i = 0; i < 60; ++i) registry.insert(sample(fmt::format("run {}", i)));
  }
  const std::string good = read_file(path);
  const auto use = [&] {
    RunRegistry registry(path);
    registry.list();
    registry.insert(sample("new"));
  };
  const auto with = [&](const std::string& bytes) {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path.string() + suffix);
    put(path, bytes);
  };
  with("this is no database, " + std::string(5000, 'x'));
  EXPECT_EQ(format_error_mismatch(use, "database"), "");
  for (const std::size_t size : {std::size_t{100}, std::size_t{4096}, good.size() / 2}) {
    with(good.substr(0, size));
    EXPECT_EQ(format_error_mismatch(use, "database"), "") << size;
  }
  Random random(3);
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string bad = good;
    for (int k = 0; k < 200; ++k)
      bad[random.below(bad.size())] = static_cast<char>(random.next_u32());
    with(bad);
    try {
      use();
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
  with(good);
  EXPECT_EQ(format_error_mismatch(use, ""), "accepted, expected an error in field ''");
}

TEST(RunRegistry, ForeignOrNewerDatabase) {
  ScratchFolder folder;
  const fs::path path = folder / "runs.db";
  { RunRegistry registry(path); }
  std::string bytes = read_file(path);
  ASSERT_EQ(bytes[63], 1) << "offset 60 of the header holds the schema version, big-endian";
  for (const char version : {0, 2}) {
    bytes[63] = version;
    put(path, bytes);
    EXPECT_EQ(format_error_mismatch([&] { RunRegistry registry(path); }, "database"), "");
  }
}

TEST(RunRegistry, ReadOnlyAndFullDisk) {
  ScratchFolder folder;
  auto mount = ScratchMount::create(folder, "size=400k");
  if (!mount) GTEST_SKIP() << "mounting a small file system needs root";
  {
    RunRegistry registry(folder / "runs.db");
    const auto id = registry.insert(sample("kept"));
    RunRecord large = sample("large");
    large.recipe = {{"text", std::string(1'000'000, 'x')}};
    const std::string message = testing::message_of<Error>([&] { registry.insert(large); });
    EXPECT_NE(message.find((folder / "runs.db").string()), std::string::npos) << message;
    EXPECT_EQ(registry.get(id).name, "kept");
    EXPECT_EQ(registry.list().size(), 1u);
  }
  mount->make_read_only();
  EXPECT_THROW(RunRegistry(folder / "new.db").insert(sample("x")), Error);
  EXPECT_THROW(RunRegistry(folder.path() / "sub" / "new.db"), IoError);
}

TEST(RunRegistry, DefaultPlace) {
  ::setenv("STEPSTONE_HOME", "/somewhere", 1);
  EXPECT_EQ(RunRegistry::default_path(), "/somewhere/runs.db");
  ::unsetenv("STEPSTONE_HOME");
}

}  // namespace
}  // namespace stepstone
