// Which files a list of files, folders and globs names.
#include <glob.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "data/readers.h"
#include "data/shards.h"
#include "io/paths.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

bool is_corpus_file(const fs::path& path) {
  fs::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name.replace_extension();
  return name.extension() == ".txt" || name.extension() == ".jsonl";
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::vector<fs::path> files_below(const fs::path& folder) {
  require<UsageError>(!is_token_folder(folder),
                      "{}: holds tokens, which only `train` takes; texts are needed here",
                      folder.string());
  std::vector<fs::path> out;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (is_hidden(entry->path())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && is_corpus_file(entry->path())) {
      out.push_back(entry->path());
    }
  }
  if (error) throw IoError("read", folder.string(), error.value());
  std::sort(out.begin(), out.end());
  require<UsageError>(!out.empty(), "{}: holds no .txt or .jsonl file (plain, .gz or .zst)",
                      folder.string());
  return out;
}

std::vector<fs::path> glob_matches(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
  std::vector<fs::path> out;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    out.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  require<UsageError>(!out.empty(), "{}: no such file or folder, and nothing matches it", pattern);
  return out;
}

}  // namespace

std::vector<fs::path> find_corpus_files(std::span<const std::string> patterns) {
  std::vector<fs::path> out;
  std::set<fs::path> seen;
  const auto add = [&](const fs::path& path) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(path, error);
    if (seen.insert(error ? path : real).second) out.push_back(path);
  };
  for (const std::string& pattern : patterns) {
    const fs::path named = expand_home(pattern);
    std::error_code error;
    const bool exists = fs::exists(named, error);
    for (const fs::path& path : exists ? std::vector{named} : glob_matches(named.string())) {
      if (fs::is_directory(path, error)) {
        for (const fs::path& file : files_below(path)) add(file);
        continue;
      }
      require<UsageError>(is_corpus_file(path),
                          "{}: is not a .txt or .jsonl file (plain, .gz or .zst)", path.string());
      add(path);
    }
  }
  require<UsageError>(!out.empty(), "no corpus was named");
  return out;
}

}  // namespace stepstone
