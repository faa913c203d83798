// A file that appears whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "io/hash.h"
#include "io/temporary.h"

namespace stepstone {

// Writes beside `target`; commit() makes the bytes durable and then gives them the name, replacing
// an older file in one step. Without commit(), and after any failure, nothing is left behind and
// an older file is as it was. Folders above `target` are made as needed. Every failure is an
// IoError naming `target`; a target that is a pipe or a device is an Error.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // fsync, rename, fsync of the folder. Nothing may be written after it.
  void commit();

  // Bytes written so far, and their XXH3-128.
  std::uint64_t size() const { return size_; }
  Hash128 hash() const { return hasher_.digest(); }
  const std::filesystem::path& target() const { return target_; }

 private:
  void discard() noexcept;

  std::filesystem::path target_;
  Temporary temporary_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
};

// The whole of `text` as the new content of `path`. Returns its hash.
Hash128 write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace stepstone
