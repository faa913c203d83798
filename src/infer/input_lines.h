// Lines from a terminal or a pipe, whatever comes.
#pragma once

#include <cstddef>
#include <string>

namespace stepstone {

class InputLines {
 public:
  enum class Result : std::uint8_t {
    line,
    too_long,     // the line is skipped to its end; only its beginning was kept
    interrupted,  // a signal came before a line was complete; what was typed so far is dropped
    end,
  };

  // `descriptor` stays the caller's. Memory: two lines at most.
  explicit InputLines(int descriptor, std::size_t max_line = std::size_t{1} << 20)
      : descriptor_(descriptor), max_line_(max_line) {}

  // Waits for the next line, without its "\n" or "\r\n". Bytes are passed on as they are, NUL too.
  // A last line without an end counts when not empty. Throws IoError.
  Result next(std::string& line);

 private:
  int descriptor_;
  std::size_t max_line_;
  std::string buffer_;  // read and not yet given
  bool ended_ = false;
};

}  // namespace stepstone
