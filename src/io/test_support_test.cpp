#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <vector>

#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone::testing {

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "stepstone-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw IoError("create", name, errno);
  path_ = fs::canonical(name);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string ScratchFolder::listing() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

std::optional<ScratchMount> ScratchMount::create(const ScratchFolder& at,
                                                 const std::string& options) {
  if (::mount("tmpfs", at.path().c_str(), "tmpfs", 0, options.c_str()) != 0) return std::nullopt;
  return ScratchMount(at.path());
}

ScratchMount::ScratchMount(ScratchMount&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

ScratchMount::~ScratchMount() {
  if (!path_.empty()) ::umount2(path_.c_str(), MNT_DETACH);
}

void ScratchMount::make_read_only() {
  if (::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    throw IoError("remount", path_.string(), errno);
  }
}

void put(const fs::path& path, const std::string& text) {
  fs::remove(path);  // ext4 writes a truncated and rewritten file out at once, a new one later
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (!stream) throw IoError("write", path.string(), EIO);
}

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kFreedMemoryIsKept = true;
#else
constexpr bool kFreedMemoryIsKept = false;
#endif

// Of the processor, so that other programs do not count.
double seconds_used() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// The most memory that this process has had.
std::int64_t peak_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

}  // namespace

std::string format_error_mismatch(const std::function<void()>& call, const std::string& field) {
  const std::int64_t before = peak_mib();
  const double start = seconds_used();
  try {
    call();
  } catch (const FormatError& error) {
    if (error.field() != field) {
      return fmt::format("field '{}', expected '{}': {}", error.field(), field, error.what());
    }
    const double took = seconds_used() - start;
    if (took > 1) return fmt::format("refused after {:.1f} s", took);
    const std::int64_t more = peak_mib() - before;
    if (!kFreedMemoryIsKept && more > 64) return fmt::format("refused for {} MiB", more);
    return "";
  } catch (const std::exception& error) {
    return fmt::format("another error, expected field '{}': {}", field, error.what());
  }
  return fmt::format("accepted, expected an error in field '{}'", field);
}

}  // namespace stepstone::testing
