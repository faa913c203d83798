// The cache that Python's huggingface_hub keeps, in its layout, so that both find what the other
// has fetched:
//
//   HUB/models--OWNER--NAME/
//     blobs/ETAG                     contents; ETAG.incomplete while on the way
//     refs/REVISION                  the commit that a branch or tag stands for
//     snapshots/COMMIT/FILE          symbolic links to the blobs
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace stepstone {

// OWNER/NAME[@REVISION]
struct HubName {
  std::string owner, name, revision = "main";

  std::string repository() const { return owner + "/" + name; }
};

// Nothing when `text` has another form or could not name a repository (".." and the like).
std::optional<HubName> parse_hub_name(std::string_view text);

// $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_folder();
// $HF_TOKEN, or the content of $HF_TOKEN_PATH or $HF_HOME/token; empty when there is none.
std::string hub_token();
// $HF_HUB_OFFLINE is 1, true, yes or on.
bool hub_is_offline();

class HubRepository {
 public:
  HubRepository(const std::filesystem::path& cache, const HubName& name);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path lock(const std::string& etag) const;
  std::filesystem::path snapshot(const std::string& commit) const {
    return folder_ / "snapshots" / commit;
  }
  // The commit of the name's revision, as last fetched; nothing when it never was.
  std::optional<std::string> known_commit() const;
  void remember_commit(const std::string& commit) const;
  // Makes `file` of the snapshot a link to the blob.
  void link(const std::string& commit, const std::string& file, const std::string& etag) const;

 private:
  std::filesystem::path folder_, locks_;
  std::string revision_;
};

// What a person named as a model: a path that exists, as it is; else OWNER/NAME[@REVISION][/FILE]
// as a folder (or its only GGUF file) in the cache. Throws UsageError for one that was not fetched,
// and for several GGUF files without a choice. Other text is returned as it is.
std::filesystem::path find_model(const std::string& text);

bool is_hex(std::string_view text, std::size_t length);

}  // namespace stepstone
