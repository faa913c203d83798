#include "train/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "io/atomic_file.h"
#include "io/tensorboard.h"

namespace stepstone {
namespace {

constexpr const char* kLogName = "log.jsonl";

// The entries of a log up to `step`; a half-written last line (a kill in the middle) is dropped.
std::vector<Json> read_entries(const std::filesystem::path& path, std::int64_t step) {
  std::vector<Json> entries;
  if (!std::filesystem::exists(path)) return entries;
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json entry = parse_json(std::string_view(text).substr(begin, end - begin), path.string());
    if (get<std::int64_t>(entry, "step", path.string()) <= step)
      entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

RunLog::RunLog(std::filesystem::path run, bool quiet)
    : run_(std::move(run)), quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

RunLog::~RunLog() {
  if (shown_ > 0) std::fputc('\n', stderr);
}

void RunLog::begin(std::int64_t step) {
  const auto path = run_ / kLogName;
  entries_ = step > 0 ? read_entries(path, step) : std::vector<Json>{};
  std::string text;
  for (const Json& entry : entries_) text += dump_json(entry) + "\n";
  write_file(path, text);
  file_ = File::open(path, O_WRONLY | O_APPEND);
  const auto purge = step > 0 ? std::optional(step + 1) : std::nullopt;
  events_ = std::make_unique<TensorBoardWriter>(run_ / "tensorboard", purge);
}

std::vector<Json> RunLog::read() const { return read_entries(run_ / kLogName, INT64_MAX); }

void RunLog::write(const Json& entry) {
  const std::string line = dump_json(entry) + "\n";
  file_.write(line.data(), line.size());
  const auto step = entry.at("step").get<std::int64_t>();
  std::vector<TensorBoardWriter::Scalar> scalars;
  for (const auto& [key, value] : entry.items()) {
    if (value.is_number() && key != "step") scalars.push_back({key, value.get<float>()});
    if (value.is_string()) events_->text(key, step, value.get<std::string>());
  }
  events_->scalars(step, scalars);
  entries_.push_back(entry);
}

void RunLog::progress(const std::string& line) {
  if (quiet_) return;
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", line.c_str());
    return;
  }
  std::fprintf(stderr, "\r%-*s", static_cast<int>(shown_), line.c_str());
  std::fflush(stderr);
  shown_ = line.size();
}

void RunLog::message(const std::string& line) {
  if (quiet_) return;
  if (shown_ > 0) std::fprintf(stderr, "\r%*s\r", static_cast<int>(shown_), "");
  shown_ = 0;
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace stepstone
