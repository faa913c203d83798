#include "io/atomic_folder.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/json.h"
#include "io/paths.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr const char* kManifestFormat = "stepstone-manifest-1";

// Published manifests have exactly these bytes, so that a flipped bit anywhere shows.
std::string manifest_text(const std::vector<ManifestEntry>& entries) {
  Json files = Json::array();
  for (const ManifestEntry& entry : entries) {
    files.push_back({{"name", entry.name}, {"size", entry.size}, {"xxh3_128", entry.hash.hex()}});
  }
  return dump_json({{"format", kManifestFormat}, {"files", std::move(files)}}, 1) + "\n";
}

// Makes every file and folder below `folder` durable and lists the files, by name.
std::vector<ManifestEntry> sync_tree(const fs::path& folder) {
  std::vector<ManifestEntry> entries;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink()) {
      sync_folder(entry.path());
      continue;
    }
    require(entry.is_regular_file() && !entry.is_symlink(),
            "{}: only regular files can be published", entry.path().string());
    const File file = File::open(entry.path());
    file.sync();
    entries.push_back({entry.path().lexically_relative(folder).generic_string(), file.size(),
                       hash_file(entry.path())});
  }
  std::sort(entries.begin(), entries.end(),
            [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
  return entries;
}

fs::path old_name(const fs::path& target) {
  return parent_folder(target) / fmt::format(".{}.old", target.filename().string());
}

void rename_or_throw(const fs::path& from, const fs::path& to, const fs::path& target) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw IoError("publish", target.string(), errno);
}

// Gives `temporary` the name `target`; what stood there, if anything, then stands at `temporary`
// or is gone.
void publish(const fs::path& temporary, const fs::path& target) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    return;
  }
  if (errno == ENOENT) {
    rename_or_throw(temporary, target, target);
  } else if (errno == EINVAL || errno == ENOSYS) {
    if (kind_of(target) != FileKind::none) {
      replace_folder_in_two_steps(temporary, target);
    } else {
      rename_or_throw(temporary, target, target);
    }
  } else {
    throw IoError("publish", target.string(), errno);
  }
}

// "…/name/" names the same folder as "…/name", but has no file name.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

AtomicFolder::AtomicFolder(fs::path target) : target_(without_slash(target)) {
  recover_folder(target_);
  const FileKind kind = kind_of(target_);
  if (kind != FileKind::none && kind != FileKind::folder) {
    throw IoError("publish", target_.string(), ENOTDIR);
  }
  sweep_temporaries(target_);
  temporary_ = create_temporary_folder(target_);
}

AtomicFolder::~AtomicFolder() { discard(); }

void AtomicFolder::discard() noexcept {
  if (!temporary_.file.is_open()) return;
  std::error_code ignored;
  fs::remove_all(temporary_.path, ignored);
  temporary_.file = File();
}

void AtomicFolder::commit() {
  require(temporary_.file.is_open(), "{}: committed after the end", target_.string());
  try {
    std::error_code ignored;
    fs::remove(temporary_.path / kManifestName, ignored);
    write_file(temporary_.path / kManifestName, manifest_text(sync_tree(temporary_.path)));
    temporary_.file.sync();
    publish(temporary_.path, target_);
  } catch (const fs::filesystem_error& error) {
    discard();
    throw IoError("publish", target_.string(), error.code().value());
  } catch (...) {
    discard();
    throw;
  }
  // Under the temporary name now stands the older folder, if there was one. It stays (for the next
  // sweep) unless the new one is known to be durable.
  const Temporary older = std::exchange(temporary_, {});
  sync_folder(parent_folder(target_));
  std::error_code ignored;
  fs::remove_all(older.path, ignored);
}

std::vector<ManifestEntry> read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string file = path.string();
  const std::string text = read_file(path, std::uint64_t{64} << 20);
  const Json json = parse_json(text, file);
  if (get<std::string>(json, "format", file) != kManifestFormat) {
    throw FormatError(file, "format", fmt::format("is not '{}'", kManifestFormat));
  }
  std::vector<ManifestEntry> entries;
  for (const Json& item : get<std::vector<Json>>(json, "files", file)) {
    ManifestEntry entry;
    entry.name = get<std::string>(item, "name", file);
    contained_path(folder, entry.name, file, "files.name");
    entry.size = get<std::uint64_t>(item, "size", file);
    const auto hex = get<std::string>(item, "xxh3_128", file);
    if (hex.size() != 32 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
      throw FormatError(file, "files.xxh3_128", "is not 32 hexadecimal digits");
    }
    entry.hash.high = std::stoull(hex.substr(0, 16), nullptr, 16);
    entry.hash.low = std::stoull(hex.substr(16), nullptr, 16);
    entries.push_back(std::move(entry));
  }
  if (manifest_text(entries) != text) {
    throw FormatError(file, "manifest", "is not as it was written");
  }
  return entries;
}

void verify_folder(const fs::path& folder) {
  for (const ManifestEntry& entry : read_manifest(folder)) {
    const fs::path path = folder / entry.name;
    if (kind_of(path) != FileKind::file) throw FormatError(path.string(), "file", "missing");
    const std::uint64_t size = File::open(path).size();
    if (size != entry.size) {
      throw FormatError(path.string(), "file size",
                        fmt::format("{} bytes, but {} has {}", size, kManifestName, entry.size));
    }
    if (hash_file(path) != entry.hash) {
      throw FormatError(path.string(), "content",
                        fmt::format("differs from its checksum in {}", kManifestName));
    }
  }
}

void recover_folder(const fs::path& target) {
  const fs::path name = without_slash(target);
  const fs::path old = old_name(name);
  if (kind_of(name) != FileKind::none || kind_of(old) == FileKind::none) return;
  rename_or_throw(old, name, name);
  sync_folder(parent_folder(name));
}

void replace_folder_in_two_steps(const fs::path& temporary, const fs::path& target) {
  const fs::path old = old_name(target);
  fs::remove_all(old);  // left by a crash after its replacement was in place
  rename_or_throw(target, old, target);
  try {
    rename_or_throw(temporary, target, target);
    sync_folder(parent_folder(target));
  } catch (...) {
    if (kind_of(target) == FileKind::none) rename_or_throw(old, target, target);
    throw;
  }
  fs::remove_all(old);
}

}  // namespace stepstone
