// Files by descriptor: opened, read and written whole, with every failure an IoError that names
// the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace stepstone {

// Owns one descriptor. Calls interrupted by a signal are taken up again.
class File {
 public:
  // `flags` and `mode` as of open(2); O_CLOEXEC is added. `shown` is the path that errors name,
  // where it differs from the one opened (a temporary file shows its target). Never waits: a named
  // pipe, a device or a socket is an Error. What this process was given open (/dev/stdin,
  // /dev/fd/N: a shell's <(…)) may be a pipe.
  static File open(const std::filesystem::path& path, int flags = 0, unsigned mode = 0666,
                   const std::filesystem::path& shown = {});

  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  // A copy of the descriptor, which errors call "standard input".
  static File standard_input();

  // Throws Error for a pipe.
  void require_regular() const;
  // Reads until `size` bytes or the end of the file; returns the number read.
  std::size_t read(void* data, std::size_t size) const;
  // Writes all of it.
  void write(const void* data, std::size_t size) const;
  void sync() const;
  // Bytes now in the file, by fstat.
  std::uint64_t size() const;
  // Closes and reports what a delayed write had to say. The destructor closes in silence.
  void close();

  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  const std::filesystem::path& path() const { return path_; }

 private:
  File(int descriptor, std::filesystem::path path)
      : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_ = -1;
  std::filesystem::path path_;
};

enum class FileKind { none, file, folder, other };
// What stands at `path`, symlinks followed. Throws IoError when that cannot be found out.
FileKind kind_of(const std::filesystem::path& path);

inline constexpr std::uint64_t kReadFileLimit = std::uint64_t{1} << 30;

// The whole file. Throws IoError, or FormatError(field "file size") beyond `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kReadFileLimit);

// The same for what a person named: "-" is standard input.
std::string read_input(const std::filesystem::path& path, std::uint64_t max_bytes = kReadFileLimit);

// Makes a folder's entries durable (fsync of the folder).
void sync_folder(const std::filesystem::path& folder);

// The folder that holds `path`; "." for a bare name.
std::filesystem::path parent_folder(const std::filesystem::path& path);

// True for the three-line text that Git LFS leaves in place of a file that was not fetched.
bool is_lfs_pointer(std::string_view bytes);
inline constexpr std::string_view kLfsProblem =
    "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'";

}  // namespace stepstone
