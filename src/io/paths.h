// Paths that come out of files: untrusted until they are shown to stay inside their folder.
#pragma once

#include <filesystem>
#include <string_view>

namespace stepstone {

// `folder / name`, when `name` is relative, has no "..", and the file it leads to, symlinks
// followed, lies inside `folder` (or in blobs/ of the model cache that `folder` is a snapshot of:
// hub/cache.h). Otherwise throws FormatError(file, field): the file that named
// it. The target need not exist.
std::filesystem::path contained_path(const std::filesystem::path& folder, std::string_view name,
                                     std::string_view file, std::string_view field);

// A leading "~/" becomes the home folder.
std::filesystem::path expand_home(const std::filesystem::path& path);

// $STEPSTONE_HOME, else ~/.stepstone. Not created.
std::filesystem::path stepstone_home();

}  // namespace stepstone
