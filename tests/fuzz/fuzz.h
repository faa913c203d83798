// What a fuzz target offers: libFuzzer's entry, examples to begin with, and words to put in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// Bad input must end in a stepstone::Error, which the target catches. Everything else is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace stepstone::fuzz {

// Good inputs, small.
std::vector<std::string> seeds();
// Pieces that random bytes would not hit.
std::vector<std::string> words();

// The bytes as a file without a disk, for readers that want a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const;

 private:
  int descriptor_;
};

// What `write` leaves at the path that it is given.
template <typename F>
std::string written(F&& write);
std::string read_and_remove(const std::filesystem::path& path);
std::filesystem::path scratch_path();

template <typename F>
std::string written(F&& write) {
  const auto path = scratch_path();
  write(path);
  return read_and_remove(path);
}

inline std::string_view view(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace stepstone::fuzz
