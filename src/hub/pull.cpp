#include "hub/pull.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "hub/digest.h"
#include "hub/hub_api.h"
#include "io/file.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

bool matches(const std::string& name, const std::vector<std::string>& globs) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return ::fnmatch(glob.c_str(), name.c_str(), 0) == 0;
  });
}

// Configuration, tokenizer and weights of the top folder; not the same weights in older formats.
bool is_needed(const std::string& name) {
  static const std::vector<std::string> kNeeded = {"*.json", "*.safetensors", "*.gguf",  "*.model",
                                                   "*.txt",  "*.jinja",       "LICENSE*"};
  return name.find('/') == std::string::npos && matches(name, kNeeded);
}

std::vector<HubFile> chosen(const HubListing& listing, const HubName& name,
                            const PullOptions& options, std::vector<std::string>& left_out) {
  std::vector<HubFile> files;
  std::vector<std::string> ggufs;
  bool has_safetensors = false;
  for (const HubFile& file : listing.files) {
    const bool wanted =
        options.include.empty() ? is_needed(file.name) : matches(file.name, options.include);
    if (!wanted) {
      left_out.push_back(file.name);
      continue;
    }
    has_safetensors |= file.name.ends_with(".safetensors");
    if (file.name.ends_with(".gguf")) ggufs.push_back(file.name);
    files.push_back(file);
  }
  require<UsageError>(!files.empty(), "{}: none of its {} files is {}", name.repository(),
                      listing.files.size(),
                      options.include.empty() ? "part of a model" : "what --include names");
  if (options.include.empty() && ggufs.size() + (has_safetensors ? 1 : 0) > 1) {
    require<UsageError>(has_safetensors, "{}: holds several models; choose by --include: {}",
                        name.repository(), fmt::join(ggufs, ", "));
    std::erase_if(files, [&](const HubFile& f) { return f.name.ends_with(".gguf"); });
    left_out.insert(left_out.end(), ggufs.begin(), ggufs.end());
  }
  return files;
}

void require_room(const fs::path& folder, std::uint64_t bytes) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return;  // the writes will tell
  const std::uint64_t room = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  require<Error>(bytes <= room, "{}: {:.1f} MB are to be fetched, but the disk has room for {:.1f}",
                 folder.string(), static_cast<double>(bytes) / 1e6,
                 static_cast<double>(room) / 1e6);
}

// One process at a time fetches a file; the lock is the one that huggingface_hub takes.
File locked(const fs::path& path) {
  fs::create_directories(path.parent_path());
  File file = File::open(path, O_RDWR | O_CREAT);
  while (::flock(file.descriptor(), LOCK_EX) != 0) {
    if (errno != EINTR) throw IoError("lock", path.string(), errno);
  }
  return file;
}

class Download {
 public:
  Download(const HubApi& api, const HubName& name, const std::string& commit, const HubFile& file,
           const HubRepository& repository, const PullOptions& options,
           std::function<void(std::uint64_t)> on_bytes)
      : api_(api),
        name_(name),
        commit_(commit),
        file_(file),
        options_(options),
        on_bytes_(std::move(on_bytes)),
        blob_(repository.blob(file.etag)),
        partial_(blob_.string() + ".incomplete") {}

  // Bytes that came over the network. The blob is there afterwards, unless it was stopped.
  std::uint64_t run() {
    for (bool again = false;; again = true) {
      get_all();
      if (options_.stopped()) return fetched_;
      const std::string sum = checksum();
      if (sum == file_.etag) break;
      fs::remove(partial_);
      if (again) {
        throw FormatError(fmt::format("{}/{}", name_.repository(), file_.name), "checksum",
                          fmt::format("is {}, not {} as listed", sum, file_.etag));
      }
      options_.on_note(fmt::format("{}: wrong checksum; fetching it again", file_.name));
    }
    File::open(partial_).sync();
    std::error_code error;
    fs::rename(partial_, blob_, error);
    if (error) throw IoError("name", blob_.string(), error.value());
    sync_folder(blob_.parent_path());
    return fetched_;
  }

 private:
  // Until all bytes are in partial_. Tries begin anew whenever one brought something.
  void get_all() {
    for (int tries = 1; !options_.stopped(); ++tries) {
      const std::uint64_t before = fetched_;
      try {
        get_rest();
        if (size() == file_.size || options_.stopped()) return;
        throw NetworkError(fmt::format("{}: {} of {} bytes came", file_.name, size(), file_.size),
                           true);
      } catch (const NetworkError& error) {
        if (fetched_ > before) tries = 1;
        if (!api_.wait_before_try(tries, error)) {
          if (options_.stopped()) return;
          throw;
        }
      }
    }
  }

  std::uint64_t size() const {
    return kind_of(partial_) == FileKind::none ? 0 : fs::file_size(partial_);
  }

  void get_rest() {
    if (size() > file_.size) fs::remove(partial_);
    std::uint64_t at = size();
    if (at == file_.size && (at > 0 || fs::exists(partial_))) return;
    const File out = File::open(partial_, O_WRONLY | O_CREAT);
    api_.fetch(
        name_, commit_, file_, at,
        [&](std::uint64_t start) {
          at = start;
          if (::ftruncate(out.descriptor(), static_cast<off_t>(at)) != 0 ||
              ::lseek(out.descriptor(), static_cast<off_t>(at), SEEK_SET) < 0) {
            throw IoError("write", partial_.string(), errno);
          }
        },
        [&](std::string_view piece) {
          if (piece.size() > file_.size - at) {
            throw FormatError(fmt::format("{}/{}", name_.repository(), file_.name), "size",
                              fmt::format("more than the {} bytes that are listed", file_.size));
          }
          out.write(piece.data(), piece.size());
          at += piece.size();
          fetched_ += piece.size();
          on_bytes_(at);
        });
    out.sync();
  }

  std::string checksum() const {
    Digest digest = file_.etag.size() == 64 ? Digest::sha256() : Digest::git_blob(file_.size);
    const File file = File::open(partial_);
    std::string piece(std::size_t{1} << 20, '\0');
    while (const std::size_t n = file.read(piece.data(), piece.size())) {
      digest.update(std::string_view(piece).substr(0, n));
    }
    return digest.hex();
  }

  const HubApi& api_;
  const HubName& name_;
  const std::string& commit_;
  const HubFile& file_;
  const PullOptions& options_;
  std::function<void(std::uint64_t)> on_bytes_;
  fs::path blob_, partial_;
  std::uint64_t fetched_ = 0;
};

PullResult from_cache(const HubName& name, const HubRepository& repository) {
  const auto commit = repository.known_commit();
  std::error_code error;
  require<UsageError>(commit && fs::is_directory(repository.snapshot(*commit), error),
                      "{}: is not in the cache, and HF_HUB_OFFLINE is set", name.repository());
  PullResult result;
  result.commit = *commit;
  result.folder = repository.snapshot(*commit);
  for (const auto& entry : fs::recursive_directory_iterator(result.folder)) {
    if (!entry.is_regular_file()) continue;
    result.files.push_back(entry.path().lexically_relative(result.folder).string());
    result.bytes += fs::file_size(entry.path());
  }
  return result;
}

}  // namespace

PullResult pull(const HubName& name, const PullOptions& options) {
  const HubRepository repository(options.cache, name);
  if (options.offline) return from_cache(name, repository);
  const HubApi api(options);
  const HubListing listing = api.list(name);
  PullResult result;
  result.commit = listing.commit;
  result.folder = repository.snapshot(listing.commit);
  std::vector<HubFile> files = chosen(listing, name, options, result.left_out);
  fs::create_directories(repository.blob("x").parent_path());
  std::uint64_t missing = 0;
  for (HubFile& file : files) {
    if (file.etag.empty()) api.look_up(name, listing.commit, file);
    if (!is_hex(file.etag, 64) && !is_hex(file.etag, 40)) {
      throw FormatError(name.repository(), file.name, "the hub lists no checksum for it");
    }
    result.bytes += file.size;
    const bool there = kind_of(repository.blob(file.etag)) == FileKind::file;
    const auto partial = repository.blob(file.etag + ".incomplete");
    if (!there) missing += file.size;
    if (kind_of(partial) == FileKind::file) missing -= std::min(missing, fs::file_size(partial));
  }
  require_room(repository.folder(), missing);
  PullProgress progress;
  for (const HubFile& file : files) {
    progress = {file.name, 0, file.size, progress.index + 1, files.size()};
    const File lock = locked(repository.lock(file.etag));
    if (kind_of(repository.blob(file.etag)) == FileKind::none) {
      Download download(api, name, listing.commit, file, repository, options,
                        [&](std::uint64_t done) {
                          progress.done = done;
                          options.on_progress(progress);
                        });
      result.fetched_bytes += download.run();
    }
    result.stopped = options.stopped();
    if (result.stopped) return result;
    repository.link(listing.commit, file.name, file.etag);
    result.files.push_back(file.name);
    progress.done = file.size;
    options.on_progress(progress);
  }
  repository.remember_commit(listing.commit);
  return result;
}

}  // namespace stepstone
