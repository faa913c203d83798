// The GGUF format, version 3 (and 2, which differs in nothing that is read here): metadata, tensor
// table, aligned tensor data. Specification: https://github.com/ggml-org/ggml, docs/gguf.md
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "io/mapped_file.h"
#include "quant/block_type.h"

namespace stepstone {

// Types of metadata, by their numbers in the file.
enum class GgufKind : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
std::string_view name_of(GgufKind kind);

// One metadata value as it lies in the file.
struct GgufValue {
  GgufKind kind;                     // of the elements, for an array
  bool array = false;                // arrays of arrays are refused
  std::uint64_t count = 1;           // elements
  std::span<const std::byte> bytes;  // of the elements
  std::uint64_t offset = 0;          // of `bytes` in the file
};

// One file, checked whole when it is opened: after open() only the values are unknown.
class GgufFile {
 public:
  static constexpr std::size_t kMaxKeyBytes = 65535;
  static constexpr std::size_t kMaxNameBytes = 63;  // what ggml can hold
  static constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 20;

  // Throws IoError; FormatError with one of the fields "magic", "version", "tensor count",
  // "metadata count", "metadata N" (a key), KEY, "tensor N" (a name), "NAME.dimensions",
  // "NAME.shape", "NAME.type", "NAME.offset", "data".
  static GgufFile open(const std::filesystem::path& path);

  const std::string& file() const { return name_; }

  // Metadata.
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  bool has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }
  // T: bool, an integer (any integer type is accepted, checked for range), float or double
  // (likewise), std::string; or a std::vector of those. Absent or of another type:
  // FormatError(field KEY).
  template <typename T>
  T get(std::string_view key) const;
  template <typename T>
  T get_or(std::string_view key, T fallback) const {
    return has(key) ? get<T>(key) : std::move(fallback);
  }
  // An array of strings without copies; they live as long as this file.
  std::vector<std::string_view> strings(std::string_view key) const;
  [[noreturn]] void fail(std::string_view key, std::string_view problem) const;

  // Tensors. A shape is row-major as everywhere in Stepstone: the file's order reversed.
  struct Info {
    BlockType type;
    Shape shape;
    std::uint64_t begin = 0;  // from the start of the file
    std::uint64_t end = 0;
  };
  std::vector<std::string> names() const;  // in the order of the file
  bool contains(std::string_view name) const { return infos_.find(name) != infos_.end(); }
  const Info& info(std::string_view name) const;
  // The tensor's blocks, in the mapped file; keep_alive() keeps them.
  std::span<const std::byte> data(std::string_view name) const;
  std::shared_ptr<const void> keep_alive() const { return file_; }
  // Its values: F32, BF16 and F16 without a copy, everything else dequantised to f32.
  Tensor tensor(std::string_view name) const;

 private:
  GgufFile() = default;
  const GgufValue& value(std::string_view key) const;
  std::int64_t integer(const GgufValue& v, std::uint64_t i, std::string_view key) const;
  double real(const GgufValue& v, std::uint64_t i, std::string_view key) const;
  template <typename T>
  T element(const GgufValue& v, std::uint64_t i, std::string_view key) const;

  std::string name_;
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, Info, std::less<>> infos_;
  std::vector<std::string> order_;
};

namespace gguf_detail {
template <typename T>
struct Element {
  using type = T;
  static constexpr bool array = false;
};
template <typename T>
struct Element<std::vector<T>> {
  using type = T;
  static constexpr bool array = true;
};
}  // namespace gguf_detail

template <typename T>
T GgufFile::element(const GgufValue& v, std::uint64_t i, std::string_view key) const {
  if constexpr (std::same_as<T, bool>) {
    if (v.kind != GgufKind::boolean) fail(key, "is not true or false");
    return v.bytes[i] != std::byte{0};
  } else if constexpr (std::integral<T>) {
    const std::int64_t number = integer(v, i, key);
    if (!std::in_range<T>(number)) fail(key, "is out of range");
    return static_cast<T>(number);
  } else {
    static_assert(std::floating_point<T>);
    return static_cast<T>(real(v, i, key));
  }
}

template <typename T>
T GgufFile::get(std::string_view key) const {
  using E = typename gguf_detail::Element<T>::type;
  constexpr bool array = gguf_detail::Element<T>::array;
  const GgufValue& v = value(key);
  if (v.array != array) fail(key, array ? "is not an array" : "is an array");
  if constexpr (std::same_as<E, std::string>) {
    if (v.kind != GgufKind::string) fail(key, "is not text");
    if constexpr (array) {
      const auto views = strings(key);
      return {views.begin(), views.end()};
    } else {
      return {reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()};
    }
  } else if constexpr (array) {
    T values;
    values.reserve(v.count);
    for (std::uint64_t i = 0; i < v.count; ++i) values.push_back(element<E>(v, i, key));
    return values;
  } else {
    return element<E>(v, 0, key);
  }
}

}  // namespace stepstone
