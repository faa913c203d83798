// Typed errors. Libraries throw them; only main() turns them into an exit status.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace stepstone {

// Base of every error that Stepstone reports. what() is a full sentence for the user.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The caller asked for something impossible: a wrong flag, key or value. Exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

// A file's content is not what its format allows. Names the file, the field and, where one is
// known, the byte offset. Exit status 1.
class FormatError : public Error {
 public:
  static constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

  FormatError(std::string_view file, std::string_view field, std::string_view problem,
              std::uint64_t offset = kNoOffset)
      : Error(offset == kNoOffset
                  ? fmt::format("{}: {}: {}", file, field, problem)
                  : fmt::format("{}: {} (byte {}): {}", file, field, offset, problem)),
        field_(field) {}

  const std::string& field() const { return field_; }

 private:
  std::string field_;
};

// The operating system refused: open, read, write, fsync, rename, mmap. Exit status 1.
class IoError : public Error {
 public:
  // `action` is a verb ("open", "write"); `error_number` an errno value.
  IoError(std::string_view action, std::string_view path, int error_number);
  int error_number() const { return error_number_; }

 private:
  int error_number_;
};

// Throws Error (or the given type) with a formatted message when `condition` is false.
template <typename E = Error, typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]] {
    throw E(fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace stepstone
