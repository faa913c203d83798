#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/error.h"

namespace stepstone {
namespace {

// One call moves at most 0x7ffff000 bytes on Linux; smaller pieces keep signals responsive.
constexpr std::size_t kPiece = std::size_t{1} << 26;

// Names under which a process finds what it was given open.
bool is_given_descriptor(const std::filesystem::path& path) {
  const std::string name = path.string();
  return name == "/dev/stdin" || name.starts_with("/dev/fd/") || name.starts_with("/proc/self/fd/");
}

void check_kind(int descriptor, const std::filesystem::path& path, const std::string& name,
                bool folder) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) throw IoError("open", name, errno);
  if (S_ISREG(info.st_mode)) return;
  if (S_ISDIR(info.st_mode)) {
    if (!folder) throw IoError("open", name, EISDIR);
    return;
  }
  const bool given = is_given_descriptor(path) && (S_ISFIFO(info.st_mode) || ::isatty(descriptor));
  require(given, "{}: is a {}, not a file", name,
          S_ISFIFO(info.st_mode)   ? "named pipe"
          : S_ISSOCK(info.st_mode) ? "socket"
                                   : "device");
}

}  // namespace

File File::open(const std::filesystem::path& path, int flags, unsigned mode,
                const std::filesystem::path& shown) {
  const std::filesystem::path& name = shown.empty() ? path : shown;
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, mode);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) throw IoError("open", name.string(), errno);
  File file(descriptor, name);
  check_kind(descriptor, path, name.string(), flags & O_DIRECTORY);
  // Only the opening must not wait.
  const int status = ::fcntl(descriptor, F_GETFL);
  if (status < 0 || ::fcntl(descriptor, F_SETFL, status & ~O_NONBLOCK) < 0) {
    throw IoError("open", name.string(), errno);
  }
  return file;
}

File File::standard_input() {
  const int descriptor = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) throw IoError("open", "standard input", errno);
  return {descriptor, "standard input"};
}

void File::require_regular() const {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) throw IoError("stat", path_.string(), errno);
  require(S_ISREG(info.st_mode), "{}: is a pipe; a file is needed, which can be read again",
          path_.string());
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t File::read(void* data, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::read(descriptor_, static_cast<char*>(data) + done, std::min(size - done, kPiece));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw IoError("read", path_.string(), errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

void File::write(const void* data, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::write(descriptor_, static_cast<const char*>(data) + done, std::min(size - done, kPiece));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw IoError("write", path_.string(), errno);
    if (n == 0) throw IoError("write", path_.string(), EIO);
    done += static_cast<std::size_t>(n);
  }
}

void File::sync() const {
  while (::fsync(descriptor_) != 0) {
    // Pipes, terminals and some network folders have nothing to flush.
    if (errno == EINVAL) return;
    if (errno != EINTR) throw IoError("fsync", path_.string(), errno);
  }
}

std::uint64_t File::size() const {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) throw IoError("stat", path_.string(), errno);
  return static_cast<std::uint64_t>(info.st_size);
}

void File::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  // After EINTR the descriptor is gone on Linux; closing again could hit someone else's.
  if (descriptor >= 0 && ::close(descriptor) != 0 && errno != EINTR) {
    throw IoError("close", path_.string(), errno);
  }
}

FileKind kind_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return FileKind::none;
    throw IoError("look at", path.string(), errno);
  }
  return S_ISREG(info.st_mode)   ? FileKind::file
         : S_ISDIR(info.st_mode) ? FileKind::folder
                                 : FileKind::other;
}

namespace {

std::string read_all(const File& file, std::uint64_t max_bytes) {
  const std::uint64_t expected = file.size();
  const auto check = [&](std::uint64_t size) {
    if (size > max_bytes) {
      throw FormatError(file.path().string(), "file size",
                        fmt::format("larger than the limit of {} bytes", max_bytes));
    }
  };
  check(expected);
  // Pipes and /proc report size 0, so the end is where read() says it is.
  std::string text(expected, '\0');
  text.resize(file.read(text.data(), text.size()));
  char more[4096];
  while (const std::size_t n = file.read(more, sizeof more)) {
    check(text.size() + n);
    text.append(more, n);
  }
  return text;
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return read_all(File::open(path), max_bytes);
}

std::string read_input(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return read_all(path == "-" ? File::standard_input() : File::open(path), max_bytes);
}

void sync_folder(const std::filesystem::path& folder) {
  File::open(folder, O_RDONLY | O_DIRECTORY).sync();
}

std::filesystem::path parent_folder(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

bool is_lfs_pointer(std::string_view bytes) {
  return bytes.starts_with("version https://git-lfs.github.com/spec/");
}

}  // namespace stepstone
