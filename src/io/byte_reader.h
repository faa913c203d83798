// The one bounded reader that every binary format shares.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace stepstone {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian; a big-endian machine needs swaps in ByteReader");

// Empty when the result does not fit.
inline std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}
inline std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Reads little-endian values from bytes that it does not own, front to back. Nothing is allocated
// before the bytes for it are known to be there. Every failure is a FormatError with the file, the
// field that was being read and its offset.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file)
      : bytes_(bytes), file_(std::move(file)) {}

  std::uint64_t offset() const { return offset_; }
  std::uint64_t remaining() const { return bytes_.size() - offset_; }
  const std::string& file() const { return file_; }

  // One integer, float, double or other trivially copyable scalar.
  template <typename T>
  T read(std::string_view field) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    T value;
    std::memcpy(&value, take(1, sizeof(T), field).data(), sizeof(T));
    return value;
  }

  // `count` elements, copied (the source may be unaligned).
  template <typename T>
  std::vector<T> read_array(std::uint64_t count, std::string_view field) {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::span<const std::byte> source = take(count, sizeof(T), field);
    std::vector<T> values(count);
    if (!source.empty()) std::memcpy(values.data(), source.data(), source.size());
    return values;
  }

  std::string_view read_string(std::uint64_t length, std::string_view field) {
    const std::span<const std::byte> source = take(length, 1, field);
    return {reinterpret_cast<const char*>(source.data()), source.size()};
  }

  std::span<const std::byte> read_bytes(std::uint64_t length, std::string_view field) {
    return take(length, 1, field);
  }

  // Moves past the bytes up to the next multiple of `alignment` (a power of two).
  void align(std::uint64_t alignment, std::string_view field) {
    take((alignment - offset_ % alignment) % alignment, 1, field);
  }

  [[noreturn]] void fail(std::string_view field, std::string_view problem) const {
    throw FormatError(file_, field, problem, offset_);
  }

 private:
  std::span<const std::byte> take(std::uint64_t count, std::uint64_t size, std::string_view field) {
    const std::optional<std::uint64_t> total = checked_mul(count, size);
    if (!total || *total > remaining()) {
      fail(field,
           fmt::format("needs {} x {} bytes, but only {} are left", count, size, remaining()));
    }
    const auto taken = bytes_.subspan(offset_, *total);
    offset_ += *total;
    return taken;
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  std::uint64_t offset_ = 0;
};

}  // namespace stepstone
