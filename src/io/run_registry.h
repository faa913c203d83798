// The list of all runs on this machine: one SQLite file, safe for several processes at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace stepstone {

enum class RunStatus { running, done, failed, stopped };
std::string_view name_of(RunStatus status);

struct RunRecord {
  std::int64_t id = 0;  // given by the registry; 1, 2, …
  std::string name;
  std::string kind;  // "train", "tune", "eval", …
  RunStatus status = RunStatus::running;
  std::int64_t started_ms = 0;  // Unix time
  std::int64_t ended_ms = 0;    // 0 while running
  std::filesystem::path out_dir;
  std::vector<std::int64_t> parents;
  Json recipe = Json::object();
  Json data_hashes = Json::object();  // file → XXH3-128
  std::string code_version;
  std::uint64_t seed = 0;
  Json metrics = Json::object();  // what training measured last
  Json scores = Json::object();   // what evaluation found
};

struct RunFilter {
  std::string kind = {};                 // all when empty
  std::optional<RunStatus> status = {};  // all when absent
  std::size_t limit = 100;
};

// Every call throws FormatError (field "database") when the file is damaged or not a registry, and
// Error when it cannot be read or written. Not for use from several threads or across fork().
class RunRegistry {
 public:
  // $STEPSTONE_HOME/runs.db
  static std::filesystem::path default_path();

  // Opens the file, or makes it and its folder.
  explicit RunRegistry(const std::filesystem::path& path = default_path());
  ~RunRegistry();

  // Adds `run` as running since now, in this process, and returns its id; `id`, `status` and the
  // times of the argument are not looked at. Throws UsageError for a parent that does not exist.
  std::int64_t insert(const RunRecord& run);
  // Marks a stopped or failed run as running again, in this process.
  void resume(std::int64_t id);
  void set_metrics(std::int64_t id, const Json& metrics);
  void set_scores(std::int64_t id, const Json& scores);
  void finish(std::int64_t id, RunStatus status);

  // A run that was running when its process died (on this machine) is given as stopped.
  // get() throws UsageError when there is no such run.
  RunRecord get(std::int64_t id);
  std::vector<RunRecord> list(const RunFilter& filter = {});  // newest first
  // The latest run that wrote to `out_dir`.
  std::optional<RunRecord> find_by_folder(const std::filesystem::path& out_dir);
  // The run, its parents, their parents …; each once, nearest first.
  std::vector<RunRecord> lineage(std::int64_t id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stepstone
