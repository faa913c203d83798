#include "serve/run_curves.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "io/file.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxPoints = 800, kMaxCurves = 64, kMaxSamples = 50, kMaxSampleBytes = 8192;
constexpr std::size_t kMaxLine = 1 << 20;

}  // namespace

void Curve::add(double step, double value) {
  if (!std::isfinite(step) || !std::isfinite(value)) return;
  if (points_.empty() || points_.back().count == per_point_) {
    if (points_.size() == kMaxPoints) halve();
    if (points_.empty() || points_.back().count == per_point_) {
      points_.push_back({step, value, value, value, 1});
      return;
    }
  }
  Point& p = points_.back();
  ++p.count;
  p.step += (step - p.step) / static_cast<double>(p.count);
  p.mean += (value - p.mean) / static_cast<double>(p.count);
  p.low = std::min(p.low, value);
  p.high = std::max(p.high, value);
}

void Curve::halve() {
  std::vector<Point> merged;
  for (std::size_t i = 0; i + 1 < points_.size(); i += 2) {
    const Point &a = points_[i], &b = points_[i + 1];
    const double share = static_cast<double>(b.count) / static_cast<double>(a.count + b.count);
    merged.push_back({a.step + share * (b.step - a.step), a.mean + share * (b.mean - a.mean),
                      std::min(a.low, b.low), std::max(a.high, b.high), a.count + b.count});
  }
  if (points_.size() % 2 == 1) merged.push_back(points_.back());
  points_ = std::move(merged);
  per_point_ *= 2;
}

void RunCurves::begin_again() {
  offset_ = 0;
  in_long_line_ = false;
  damaged_lines_ = 0;
  curves_.clear();
  samples_.clear();
  ++version_;
}

bool RunCurves::update(std::size_t max_bytes) {
  if (kind_of(log_) != FileKind::file) {
    if (offset_ > 0) begin_again();
    return true;
  }
  const File file = File::open(log_);
  struct stat state = {};
  if (::fstat(file.descriptor(), &state) != 0) throw IoError("stat", log_.string(), errno);
  const auto size = static_cast<std::uint64_t>(state.st_size);
  if (state.st_ino != inode_ || size < offset_) begin_again();
  inode_ = state.st_ino;
  std::string text(std::min<std::uint64_t>(std::max(max_bytes, kMaxLine), size - offset_), '\0');
  if (::lseek(file.descriptor(), static_cast<off_t>(offset_), SEEK_SET) < 0) {
    throw IoError("seek", log_.string(), errno);
  }
  text.resize(file.read(text.data(), text.size()));
  const bool seen_all = offset_ + text.size() >= size;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (!std::exchange(in_long_line_, false)) {
      take_line(std::string_view(text).substr(begin, end - begin));
    }
  }
  // A line without an end is read again when it has one, unless it is no line of a log.
  if (text.size() - begin >= kMaxLine) {
    if (!std::exchange(in_long_line_, true)) ++damaged_lines_;
    begin = text.size();
  }
  if (begin > 0) ++version_;
  offset_ += begin;
  return seen_all;
}

void RunCurves::take_line(std::string_view line) {
  if (line.empty()) return;
  try {
    const Json entry = parse_json(line, log_.string());
    const auto step = get<std::int64_t>(entry, "step", log_.string());
    for (const auto& [name, value] : entry.items()) {
      if (!value.is_number() || name == "step") continue;
      if (curves_.size() < kMaxCurves || curves_.contains(name)) {
        curves_[name].add(static_cast<double>(step), value.get<double>());
      }
    }
    const auto sample = get_or<std::string>(entry, "sample", log_.string(), "");
    if (!sample.empty()) {
      samples_.push_back({step, to_utf8_lossy(sample.substr(0, kMaxSampleBytes))});
      if (samples_.size() > kMaxSamples) samples_.pop_front();
    }
  } catch (const FormatError&) {
    ++damaged_lines_;
  }
}

}  // namespace stepstone
