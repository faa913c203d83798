// What a run tells while it goes: one JSON object a line in log.jsonl, TensorBoard events, and a
// progress line for people on standard error.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/json.h"

namespace stepstone {

class TensorBoardWriter;

class RunLog {
 public:
  // For the run folder `run`, which must exist. quiet: nothing on standard error.
  RunLog(std::filesystem::path run, bool quiet);
  ~RunLog();

  // Opens the log for what comes after `step`: entries up to it are kept, later ones will come
  // again and are dropped. 0: a new log.
  void begin(std::int64_t step);
  // `entry` has "step" and numbers; numbers become TensorBoard scalars, strings text.
  void write(const Json& entry);

  // A line for people: on a terminal it replaces the one before.
  void progress(const std::string& line);
  // A line that stays.
  void message(const std::string& line);

  const std::vector<Json>& entries() const { return entries_; }
  // The entries of a finished run's log, from its file.
  std::vector<Json> read() const;

 private:
  std::filesystem::path run_;
  File file_;
  std::unique_ptr<TensorBoardWriter> events_;
  std::vector<Json> entries_;
  bool quiet_;
  bool terminal_;
  std::size_t shown_ = 0;  // columns of the progress line on screen
};

}  // namespace stepstone
