// Streams of bytes from and to plain, gzip and zstd files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace stepstone {

// What a file may unfold to. Memory is bounded in any case (a zstd window of at most 128 MiB).
struct DecompressLimits {
  std::uint64_t max_bytes = std::uint64_t{1} << 40;
  // Output per input byte, once `free_bytes` are out. Text compresses 3 to 100 times, a bomb a
  // million times.
  std::uint64_t max_ratio = 1000;
  std::uint64_t free_bytes = std::uint64_t{64} << 20;
};

class InputStream {
 public:
  virtual ~InputStream() = default;
  // Reads until `size` bytes or the end; returns the number read. Throws IoError, and FormatError
  // (field "gzip" or "zstd") for damaged or truncated data and for more than the limits.
  virtual std::size_t read(char* data, std::size_t size) = 0;
};

// What `path` unfolds to. Its first bytes decide, so a name without an ending does no harm; a name
// ending in .gz or .zst on something else is a FormatError, and so is a Git LFS pointer.
std::unique_ptr<InputStream> open_input(const std::filesystem::path& path,
                                        const DecompressLimits& limits = {});

class OutputStream {
 public:
  virtual ~OutputStream() = default;
  virtual void write(std::string_view bytes) = 0;
  // Finishes the file; without it there is none (io/atomic_file.h).
  virtual void commit() = 0;
};

// Compresses when the name ends in .gz or .zst. The same bytes give the same file.
std::unique_ptr<OutputStream> open_output(const std::filesystem::path& path);

}  // namespace stepstone
