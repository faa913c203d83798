#include "io/text_reader.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::size_t kFirstBuffer = std::size_t{64} << 10;

}  // namespace

LineReader::LineReader(const std::filesystem::path& path, std::size_t max_line,
                       const DecompressLimits& limits)
    : input_(open_input(path, limits)), file_(path.string()), max_line_(max_line) {}

// Makes room behind end_ and reads into it. False at the end of the input.
bool LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // Two more than the longest line, for its "\r\n".
  if (end_ == buffer_.size()) {
    buffer_.resize(std::min(std::max(2 * buffer_.size(), kFirstBuffer), max_line_ + 2));
  }
  const std::size_t n = input_->read(buffer_.data() + end_, buffer_.size() - end_);
  end_ += n;
  if (!started_ && std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) {
    begin_ = kByteOrderMark.size();
  }
  started_ = true;
  return n > 0;
}

bool LineReader::next(std::string_view& line) {
  std::size_t newline = std::string_view::npos;
  std::string_view rest;
  for (bool more = true; more;) {
    const std::size_t scanned = rest.size();
    rest = {buffer_.data() + begin_, end_ - begin_};
    newline = rest.find('\n', scanned);
    if (newline != std::string_view::npos || rest.size() >= max_line_ + 2) break;
    more = fill();
    rest = {buffer_.data() + begin_, rest.size()};  // fill() moved it
  }
  if (rest.empty()) return false;
  const bool found = newline != std::string_view::npos;
  line = rest.substr(0, newline);
  begin_ += line.size() + (found ? 1 : 0);
  if (found && line.ends_with('\r')) line.remove_suffix(1);
  ++line_number_;
  if (line.size() > max_line_) {
    throw FormatError(file_, fmt::format("line {}", line_number_),
                      fmt::format("longer than the limit of {} bytes", max_line_));
  }
  return true;
}

TextReader::TextReader(const std::filesystem::path& path, std::size_t chunk,
                       const DecompressLimits& limits)
    : input_(open_input(path, limits)), buffer_(std::max<std::size_t>(chunk, 4), '\0') {}

bool TextReader::next(std::string_view& text) {
  std::memmove(buffer_.data(), buffer_.data() + given_, used_ - given_);
  used_ -= given_;
  used_ += input_->read(buffer_.data() + used_, buffer_.size() - used_);
  std::string_view rest(buffer_.data(), used_);
  const std::size_t skip = !started_ && rest.starts_with(kByteOrderMark) ? 3 : 0;
  started_ = true;
  const bool at_end = used_ < buffer_.size();
  given_ = at_end ? used_ : utf8_whole_prefix(rest);
  text = rest.substr(skip, given_ - skip);
  if (text.empty() && !at_end) return next(text);
  return !text.empty();
}

}  // namespace stepstone
