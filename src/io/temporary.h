// Temporary names beside a target, for io/atomic_file.h and io/atomic_folder.h. A temporary is
// called ".NAME.tmp-PID-N" and carries a lock (flock) while its writer lives, so that one left by
// a killed process can be told from one that is being written, and removed by the next writer.
#pragma once

#include <filesystem>

#include "io/file.h"

namespace stepstone {

struct Temporary {
  std::filesystem::path path;
  File file;  // open and locked; of the folder itself for a temporary folder
};

// Both throw IoError naming `target`. `target`'s folder must exist.
Temporary create_temporary_file(const std::filesystem::path& target);
Temporary create_temporary_folder(const std::filesystem::path& target);

// Removes what killed writers of `target` left behind. Never throws.
void sweep_temporaries(const std::filesystem::path& target) noexcept;

}  // namespace stepstone
