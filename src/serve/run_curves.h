// The curves and samples in a run's log.jsonl, followed while it grows, in bounded memory.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/json.h"

namespace stepstone {

// A value over steps. When there are too many, neighbours become one point: their mean and range.
class Curve {
 public:
  struct Point {
    double step = 0, mean = 0, low = 0, high = 0;
    std::int64_t count = 0;
  };

  void add(double step, double value);
  const std::vector<Point>& points() const { return points_; }

 private:
  void halve();

  std::vector<Point> points_;
  std::int64_t per_point_ = 1;
};

class RunCurves {
 public:
  struct Sample {
    std::int64_t step = 0;
    std::string text;
  };

  explicit RunCurves(std::filesystem::path log) : log_(std::move(log)) {}

  // Reads what is new, up to `max_bytes` of it; begins again when the log was replaced, as a
  // resumed run does. False while there is more. A log that is not there is empty. Throws IoError.
  bool update(std::size_t max_bytes);

  // Of every number in the log, by its name.
  const std::map<std::string, Curve>& curves() const { return curves_; }
  // What the model wrote, the last ones.
  const std::deque<Sample>& samples() const { return samples_; }
  // Lines that are not what a log holds; they are left out.
  std::int64_t damaged_lines() const { return damaged_lines_; }
  // Changes with everything above.
  std::uint64_t version() const { return version_; }

 private:
  void take_line(std::string_view line);
  void begin_again();

  std::filesystem::path log_;
  std::uint64_t inode_ = 0, offset_ = 0, version_ = 0;
  bool in_long_line_ = false;
  std::int64_t damaged_lines_ = 0;
  std::map<std::string, Curve> curves_;
  std::deque<Sample> samples_;
};

}  // namespace stepstone
