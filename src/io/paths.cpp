#include "io/paths.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "core/error.h"

namespace fs = std::filesystem;

namespace stepstone {

fs::path contained_path(const fs::path& folder, std::string_view name, std::string_view file,
                        std::string_view field) {
  const auto refuse = [&](std::string_view why) {
    throw FormatError(file, field, fmt::format("path '{}' {}", name, why));
  };
  if (name.empty()) refuse("is empty");
  if (name.find('\0') != std::string_view::npos) refuse("contains a NUL byte");
  const fs::path relative{name};
  if (relative.is_absolute()) refuse("is absolute");
  for (const fs::path& part : relative) {
    if (part == "..") refuse("contains '..'");
  }
  std::error_code error;
  const fs::path root = fs::weakly_canonical(folder, error);
  if (error) refuse("lies in a folder that cannot be resolved: " + error.message());
  const fs::path target = fs::weakly_canonical(root / relative, error);
  if (error) refuse("cannot be resolved: " + error.message());
  const auto [in_root, in_target] =
      std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (in_root == root.end() && in_target != target.end()) return folder / relative;
  // In a cache of models each file of snapshots/COMMIT is a link into blobs/ beside snapshots/.
  const bool is_blob = root.parent_path().filename() == "snapshots" &&
                       target.parent_path() == root.parent_path().parent_path() / "blobs";
  if (!is_blob) {
    refuse("leads out of the folder through a symbolic link");
  }
  return folder / relative;
}

fs::path expand_home(const fs::path& path) {
  const std::string text = path.string();
  const char* home = std::getenv("HOME");
  if (home == nullptr || !(text == "~" || text.starts_with("~/"))) return path;
  return fs::path(home + text.substr(1));
}

fs::path stepstone_home() {
  if (const char* home = std::getenv("STEPSTONE_HOME"); home != nullptr && *home != '\0') {
    return home;
  }
  const fs::path home = expand_home("~/.stepstone");
  require<UsageError>(home.is_absolute(), "set HOME or STEPSTONE_HOME: there is no home folder");
  return home;
}

}  // namespace stepstone
