// What a hub answers about a repository, and requests to it that try again and follow redirects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hub/http_client.h"
#include "hub/pull.h"

namespace stepstone {

struct HubFile {
  std::string name;  // relative, '/' between parts; checked
  std::uint64_t size = 0;
  std::string etag;  // 64 digits: SHA-256; 40: git's SHA-1
};

struct HubListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

class HubApi {
 public:
  explicit HubApi(const PullOptions& options) : options_(options) {}

  HubListing list(const HubName& name) const;
  // Checksum and size of a file that the listing gives no checksum for.
  void look_up(const HubName& name, const std::string& commit, HubFile& file) const;

  // The bytes of `file` from `begin` on, through any redirects. `on_start` hears where the server
  // really begins: at `begin`, or at 0. One try; throws NetworkError when cut off.
  void fetch(const HubName& name, const std::string& commit, const HubFile& file,
             std::uint64_t begin, const std::function<void(std::uint64_t)>& on_start,
             const std::function<void(std::string_view)>& on_body) const;

  // Waits before the next of `tries`; false when there is none. A wait that the server asked for
  // (429, 503) is kept to, up to a minute.
  bool wait_before_try(int done, const NetworkError& error) const;

 private:
  HttpHead get(const HttpGet& get) const;
  [[noreturn]] void refuse(const HubName& name, const Url& url, const HttpHead& head) const;

  const PullOptions& options_;
};

}  // namespace stepstone
