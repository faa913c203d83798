// A folder that appears whole or not at all, with a manifest that shows later damage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/hash.h"
#include "io/temporary.h"

namespace stepstone {

inline constexpr const char* kManifestName = "manifest.json";

// The caller writes files into path(); commit() adds the manifest, makes everything durable and
// renames the folder to `target`. An older `target` is exchanged for the new one in one step and
// deleted only then. Without commit(), and after any failure, nothing is left behind and an older
// folder is as it was. Failures are IoErrors.
class AtomicFolder {
 public:
  // Folders above `target` are made as needed.
  explicit AtomicFolder(std::filesystem::path target);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();

  // Where to write: a hidden folder beside `target`.
  const std::filesystem::path& path() const { return temporary_.path; }
  void commit();

 private:
  void discard() noexcept;

  std::filesystem::path target_;
  Temporary temporary_;
};

struct ManifestEntry {
  std::string name;  // relative to the folder, '/' between parts
  std::uint64_t size = 0;
  Hash128 hash;
};

// The manifest of a published folder. Any changed byte of it is a FormatError.
std::vector<ManifestEntry> read_manifest(const std::filesystem::path& folder);

// Checks size and hash of every file of the manifest. Throws FormatError naming the damaged or
// missing file. Files that are not in the manifest are not looked at.
void verify_folder(const std::filesystem::path& folder);

// Where the file system cannot exchange two names, a publication renames twice, and a crash in
// between leaves the old folder under another name: this puts it back. Call before reading a
// published folder; AtomicFolder does so itself.
void recover_folder(const std::filesystem::path& target);

// What AtomicFolder does where names cannot be exchanged. Both must exist; afterwards `temporary`
// is gone.
void replace_folder_in_two_steps(const std::filesystem::path& temporary,
                                 const std::filesystem::path& target);

}  // namespace stepstone
