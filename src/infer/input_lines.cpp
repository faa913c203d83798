#include "infer/input_lines.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/error.h"

namespace stepstone {

InputLines::Result InputLines::next(std::string& line) {
  line.clear();
  bool too_long = false;
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    const std::size_t take = end == std::string::npos ? buffer_.size() : end;
    const std::size_t room = max_line_ - line.size();
    too_long |= take > room;
    line.append(buffer_, 0, std::min(take, room));
    if (end != std::string::npos) {
      buffer_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return too_long ? Result::too_long : Result::line;
    }
    buffer_.clear();
    if (ended_) return too_long ? Result::too_long : line.empty() ? Result::end : Result::line;
    std::array<char, 4096> bytes;
    const ssize_t n = ::read(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) return Result::interrupted;
    if (n < 0) throw IoError("read", "standard input", errno);
    ended_ = n == 0;
    buffer_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace stepstone
