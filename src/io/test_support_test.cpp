#include <stdlib.h>
#include <sys/mount.h>

#include <algorithm>
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

std::string format_error_mismatch(const std::function<void()>& call, const std::string& field) {
  try {
    call();
  } catch (const FormatError& error) {
    if (error.field() == field) return "";
    return fmt::format("field '{}', expected '{}': {}", error.field(), field, error.what());
  } catch (const std::exception& error) {
    return fmt::format("another error, expected field '{}': {}", field, error.what());
  }
  return fmt::format("accepted, expected an error in field '{}'", field);
}

}  // namespace stepstone::testing
