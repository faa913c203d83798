// Text of any length in bounded memory, from plain, gzip and zstd files. A UTF-8 byte order mark
// at the start is dropped; otherwise bytes are passed on as they are, valid UTF-8 or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "io/compress.h"

namespace stepstone {

// The lines of a text, without "\n" or "\r\n". A last line without an end counts when not empty.
class LineReader {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{16} << 20;

  explicit LineReader(const std::filesystem::path& path, std::size_t max_line = kMaxLine,
                      const DecompressLimits& limits = {});

  // False at the end. `line` is valid until the next call. Throws what InputStream::read does, and
  // FormatError(field "line N") for a line of more than `max_line` bytes.
  bool next(std::string_view& line);
  // Of the line that next() gave last; the first is 1.
  std::uint64_t line_number() const { return line_number_; }

 private:
  bool fill();

  std::unique_ptr<InputStream> input_;
  std::string file_;
  std::size_t max_line_;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t line_number_ = 0;
  bool started_ = false;
};

// The text in pieces of at most `chunk` bytes (at least 4) that never cut a UTF-8 character.
class TextReader {
 public:
  explicit TextReader(const std::filesystem::path& path, std::size_t chunk = std::size_t{1} << 20,
                      const DecompressLimits& limits = {});

  // False at the end. `text` is valid until the next call and not empty.
  bool next(std::string_view& text);

 private:
  std::unique_ptr<InputStream> input_;
  std::string buffer_;
  std::size_t used_ = 0, given_ = 0;
  bool started_ = false;
};

}  // namespace stepstone
