#include "hub/cache.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/paths.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_name(std::string_view text) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  return !text.empty() && text.size() <= 96 && std::all_of(text.begin(), text.end(), good) &&
         text.front() != '.' && text.front() != '-' && text.back() != '.' &&
         text.find("..") == std::string_view::npos && text.find("--") == std::string_view::npos;
}

bool is_revision(std::string_view text) {
  const auto good = [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != '\\'; };
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), good) &&
         text.front() != '/' && text.back() != '/' && text.find("..") == std::string_view::npos;
}

fs::path home_of_hub() {
  if (const std::string home = environment("HF_HOME"); !home.empty()) return expand_home(home);
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return fs::path(cache) / "huggingface";
  }
  const fs::path home = expand_home("~/.cache/huggingface");
  require<UsageError>(home.is_absolute(), "set HF_HOME or HOME: there is no folder for models");
  return home;
}

// A snapshot as a model: the folder, or a GGUF file where there is no other model.
fs::path model_in(const fs::path& snapshot, const std::string& text) {
  std::error_code error;
  if (fs::exists(snapshot / "config.json", error)) return snapshot;
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(snapshot, error)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path().filename().string());
  }
  if (files.empty()) return snapshot;
  std::sort(files.begin(), files.end());
  require<UsageError>(files.size() == 1, "{}: holds several models; name one, as in {}/{}", text,
                      text, files.front());
  return snapshot / files.front();
}

}  // namespace

bool is_hex(std::string_view text, std::size_t length) {
  return text.size() == length &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<HubName> parse_hub_name(std::string_view text) {
  HubName name;
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    name.revision = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  name.owner = text.substr(0, slash);
  name.name = text.substr(slash + 1);
  if (!is_name(name.owner) || !is_name(name.name) || !is_revision(name.revision)) {
    return std::nullopt;
  }
  return name;
}

fs::path hub_cache_folder() {
  if (const std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) {
    return expand_home(cache);
  }
  return home_of_hub() / "hub";
}

std::string hub_token() {
  std::string token = environment("HF_TOKEN");
  if (token.empty()) {
    const std::string named = environment("HF_TOKEN_PATH");
    const fs::path file = named.empty() ? home_of_hub() / "token" : expand_home(named);
    if (kind_of(file) == FileKind::file) token = read_file(file, 1 << 16);
  }
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= 0x20) token.pop_back();
  const auto plain = [](char c) { return c > 0x20 && c < 0x7F; };
  require<UsageError>(std::all_of(token.begin(), token.end(), plain),
                      "HF_TOKEN: holds what no token holds (a space or a control character)");
  return token;
}

bool hub_is_offline() {
  std::string value = environment("HF_HUB_OFFLINE");
  for (char& c : value) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

HubRepository::HubRepository(const fs::path& cache, const HubName& name)
    : folder_(cache / fmt::format("models--{}--{}", name.owner, name.name)),
      locks_(cache / ".locks" / folder_.filename()),
      revision_(name.revision) {}

fs::path HubRepository::lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }

std::optional<std::string> HubRepository::known_commit() const {
  if (is_hex(revision_, 40)) return revision_;
  const fs::path file = folder_ / "refs" / revision_;
  if (kind_of(file) != FileKind::file) return std::nullopt;
  const std::string commit = read_file(file, 1 << 10);
  if (!is_hex(commit, 40))
    throw FormatError(file.string(), "commit", "is not 40 hexadecimal digits");
  return commit;
}

void HubRepository::remember_commit(const std::string& commit) const {
  if (revision_ != commit) write_file(folder_ / "refs" / revision_, commit);
}

void HubRepository::link(const std::string& commit, const std::string& file,
                         const std::string& etag) const {
  const fs::path place = contained_path(snapshot(commit), file, "snapshot", "file");
  fs::create_directories(place.parent_path());
  const fs::path target = fs::relative(blob(etag), place.parent_path());
  std::error_code error;
  if (fs::is_symlink(place, error) && fs::read_symlink(place, error) == target) return;
  const fs::path fresh = place.parent_path() / fmt::format(".{}.{}", etag, ::getpid());
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  if (!error) fs::rename(fresh, place, error);
  if (error) throw IoError("link", place.string(), error.value());
}

fs::path find_model(const std::string& text) {
  const fs::path path = expand_home(text);
  std::error_code error;
  if (fs::exists(path, error)) return path;
  // OWNER/NAME[@REVISION]/FILE
  std::string repository = text, file;
  if (const auto slash = text.find('/', text.find('/') + 1);
      slash != std::string::npos && text.find('@') == std::string::npos) {
    repository = text.substr(0, slash);
    file = text.substr(slash + 1);
  }
  const auto name = parse_hub_name(repository);
  if (!name) return text;
  const HubRepository hub(hub_cache_folder(), *name);
  const auto commit = hub.known_commit();
  const bool known = commit && fs::is_directory(hub.snapshot(*commit), error);
  require<UsageError>(known, "{}: neither a path nor fetched before; try: stepstone pull {}", text,
                      repository);
  if (file.empty()) return model_in(hub.snapshot(*commit), text);
  const fs::path chosen = contained_path(hub.snapshot(*commit), file, text, "file");
  require<UsageError>(fs::exists(chosen, error), "{}: holds no file {}", repository, file);
  return chosen;
}

}  // namespace stepstone
