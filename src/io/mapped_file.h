// A file's bytes, read-only, without reading them first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "io/file.h"

namespace stepstone {

// The bytes are never written back: memory that somebody writes to all the same (a tensor that
// points here) is copied on write, and the file stays as it is.
//
// Maps a file; one of at most kCopyBelow bytes is read into memory instead. A mapping whose file
// is truncated by another program gives SIGBUS on the next touch: see exit_on_lost_mapping().
// Stepstone itself never truncates a file (it replaces: io/atomic_file.h), small files are immune,
// and for the rest check_unchanged() before use closes the window to the time of use. Shared
// between the tensors that point into it.
class MappedFile {
 public:
  static constexpr std::uint64_t kCopyBelow = std::uint64_t{1} << 20;

  // Throws IoError.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Aligned to at least 64 bytes.
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Throws FormatError(field "file size") when the file has shrunk since open().
  void check_unchanged() const;
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  explicit MappedFile(File file);

  File file_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
};

// Bytes of some mapped file need not stay in memory: they are read again when they are touched.
// Only where nobody has written to them. Does nothing to other bytes.
void forget_mapped(std::span<const std::byte> bytes);

// For main(): a SIGBUS from a mapped file prints the file's name and ends the process with
// status 1.
void exit_on_lost_mapping();

}  // namespace stepstone
