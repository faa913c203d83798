#include "io/atomic_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/error.h"

namespace stepstone {

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  const FileKind kind = kind_of(target_);
  if (kind == FileKind::folder) throw IoError("write", target_.string(), EISDIR);
  // A rename would put a file in place of /dev/null.
  require(kind != FileKind::other,
          "{}: is a pipe or a device; a file is written whole or not at all", target_.string());
  sweep_temporaries(target_);
  temporary_ = create_temporary_file(target_);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (!temporary_.file.is_open()) return;
  ::unlink(temporary_.path.c_str());
  temporary_.file = File();
}

void AtomicFile::write(const void* data, std::size_t size) {
  require(temporary_.file.is_open(), "{}: written after the end", target_.string());
  try {
    temporary_.file.write(data, size);
  } catch (const IoError&) {
    discard();
    throw;
  }
  hasher_.update(data, size);
  size_ += size;
}

void AtomicFile::commit() {
  require(temporary_.file.is_open(), "{}: committed after the end", target_.string());
  try {
    temporary_.file.sync();
    // The descriptor, and with it the lock, stays open until the name is given.
    if (::rename(temporary_.path.c_str(), target_.c_str()) != 0) {
      throw IoError("write", target_.string(), errno);
    }
  } catch (const IoError&) {
    discard();
    throw;
  }
  temporary_.file.close();
  sync_folder(parent_folder(target_));
}

Hash128 write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
  return file.hash();
}

}  // namespace stepstone
