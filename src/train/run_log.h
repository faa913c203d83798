// What a run tells while it goes: one JSON object a line in log.jsonl, TensorBoard events, and a
// progress line for people on standard error.
#pragma once

#include <chrono>
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
  // Opens <run>/log.jsonl. On resume, entries after `resume_step` are dropped: they will come
  // again. quiet: nothing on standard error.
  RunLog(std::filesystem::path run, std::int64_t resume_step, bool quiet);
  ~RunLog();

  // Drops every entry after `step`.
  void rewind(std::int64_t step);
  // `entry` has "step" and numbers; numbers become TensorBoard scalars as well.
  void write(const Json& entry);
  void write_text(const std::string& tag, const std::string& text, std::int64_t step);

  // A line for people: on a terminal it replaces the one before.
  void progress(const std::string& line);
  // A line that stays.
  void message(const std::string& line);

  const std::vector<Json>& entries() const { return entries_; }

 private:
  void open_append();

  std::filesystem::path run_;
  File file_;
  std::unique_ptr<TensorBoardWriter> events_;
  std::vector<Json> entries_;
  bool quiet_;
  bool terminal_;
  std::size_t shown_ = 0;  // columns of the progress line on screen
};

}  // namespace stepstone
