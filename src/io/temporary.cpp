#include "io/temporary.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "core/error.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

std::string temporary_prefix(const fs::path& target) {
  // Shortened where the result would be longer than a file system's 255 bytes.
  return fmt::format(".{}.tmp-", target.filename().string().substr(0, 200));
}

fs::path next_name(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return parent_folder(target) /
         fmt::format("{}{}-{}", temporary_prefix(target), ::getpid(), counter++);
}

// False when a sweeper took the new temporary before its lock was there.
bool lock_new(const File& file) {
  // Where locks are not supported, sweeping is off as well.
  if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
  struct stat info {};
  return ::fstat(file.descriptor(), &info) == 0 && info.st_nlink > 0;
}

constexpr int kTries = 1000;

void make_parent(const fs::path& target) {
  std::error_code error;
  fs::create_directories(parent_folder(target), error);
  if (error) throw IoError("create the folder of", target.string(), error.value());
}

}  // namespace

Temporary create_temporary_file(const fs::path& target) {
  make_parent(target);
  for (int i = 0; i < kTries; ++i) {
    const fs::path path = next_name(target);
    try {
      File file = File::open(path, O_WRONLY | O_CREAT | O_EXCL, 0666, target);
      if (lock_new(file)) return {path, std::move(file)};
    } catch (const IoError& error) {
      if (error.error_number() != EEXIST) throw;
    }
  }
  throw IoError("create a temporary file beside", target.string(), EEXIST);
}

Temporary create_temporary_folder(const fs::path& target) {
  make_parent(target);
  for (int i = 0; i < kTries; ++i) {
    const fs::path path = next_name(target);
    if (::mkdir(path.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      throw IoError("create", target.string(), errno);
    }
    try {
      File folder = File::open(path, O_RDONLY | O_DIRECTORY, 0, target);
      if (lock_new(folder)) return {path, std::move(folder)};
    } catch (const IoError& error) {
      if (error.error_number() != ENOENT) throw;
    }
  }
  throw IoError("create a temporary folder beside", target.string(), EEXIST);
}

void sweep_temporaries(const fs::path& target) noexcept {
  try {
    const std::string prefix = temporary_prefix(target);
    for (const fs::directory_entry& entry : fs::directory_iterator(parent_folder(target))) {
      if (!entry.path().filename().string().starts_with(prefix)) continue;
      const File file = File::open(
          entry.path(), O_RDONLY | O_NOFOLLOW | (entry.is_directory() ? O_DIRECTORY : 0));
      if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry.path());
    }
  } catch (const std::exception&) {
    // Left-overs cost space, not correctness; the writer that follows reports real trouble.
  }
}

}  // namespace stepstone
