// Writes GGUF version 3, atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/shape.h"
#include "io/gguf.h"

namespace stepstone {

class GgufWriter {
 public:
  // Metadata, in this order in the file; a key that is set again keeps its place. T: bool,
  // std::uint32_t, std::int32_t, std::uint64_t, std::int64_t, float, std::string; or a std::vector
  // of them.
  template <typename T>
  void set(const std::string& key, const T& value);
  void set(const std::string& key, const char* value) { set(key, std::string(value)); }
  // As read from another file.
  void set(const std::string& key, const GgufValue& value);

  // Produces the tensor's bytes_of(type, numel) bytes when they are written, so that a model need
  // not be in memory twice. `shape` is row-major.
  using Produce = std::function<std::vector<std::byte>()>;
  // Throws UsageError for a name or shape that the format cannot hold, or a name given before.
  void add(const std::string& name, BlockType type, const Shape& shape, Produce produce);

  // on_tensor: called before each tensor is produced, with its index and the count.
  using OnTensor = std::function<void(std::size_t index, std::size_t count)>;
  // Throws IoError.
  void write(const std::filesystem::path& path, const OnTensor& on_tensor = {}) const;

 private:
  struct Entry {
    std::string key;
    std::string bytes;  // type and value
  };
  struct Pending {
    std::string name;
    BlockType type;
    Shape shape;
    Produce produce;
  };
  std::string& slot(const std::string& key);
  std::string header() const;

  std::vector<Entry> metadata_;
  std::vector<Pending> tensors_;
};

}  // namespace stepstone
