#include "hub/hub_api.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "io/json.h"

namespace stepstone {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxListing = std::size_t{64} << 20;
constexpr std::size_t kMaxFiles = 100'000;
constexpr double kLongestWait = 60;

// 429 or 503, with the wait that the server asks for.
class Busy : public NetworkError {
 public:
  Busy(const std::string& message, double seconds)
      : NetworkError(message, true), seconds(seconds) {}
  double seconds;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void check_file_name(const std::string& name, const std::string& where) {
  const auto bad = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '\\' || c == ':';
  };
  const std::filesystem::path path(name);
  const bool leaves = std::any_of(path.begin(), path.end(), [](const auto& part) {
    return part == ".." || part == "." || part.empty();
  });
  if (name.empty() || name.find("//") != std::string::npos || name.size() > 1024 ||
      path.is_absolute() || leaves || std::any_of(name.begin(), name.end(), bad)) {
    throw FormatError(where, "rfilename", fmt::format("\"{}\" is no name for a file here", name));
  }
}

// "W/\"abc\"" → abc
std::string plain_etag(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  std::erase(text, '"');
  return text;
}

// Where a body that answers a request for bytes from `begin` on really begins.
std::uint64_t start_of(const HttpHead& head, std::uint64_t begin, const std::string& where) {
  if (head.status != 206) return 0;
  const std::string range = head.find("content-range").value_or("");
  const auto from = range.find_first_of("0123456789"), dash = range.find('-');
  const auto first = from < dash && dash != std::string::npos
                         ? number(std::string_view(range).substr(from, dash - from))
                         : std::nullopt;
  if (first != begin)
    throw FormatError(where, "Content-Range", "\"" + range + "\" was not asked for");
  return begin;
}

}  // namespace

HttpHead HubApi::get(const HttpGet& first) const {
  HttpGet request = first;
  for (int redirects = 0;; ++redirects) {
    if (request.url.origin() == options_.endpoint.origin() && !options_.token.empty()) {
      request.fields.emplace_back("Authorization", "Bearer " + options_.token);
    }
    bool redirected = false;
    request.on_head = [&](const HttpHead& head) {
      redirected = is_redirect(head.status);
      if (!redirected && first.on_head) first.on_head(head);
    };
    request.on_body = [&](std::string_view piece) {
      if (!redirected && first.on_body) first.on_body(piece);
    };
    const HttpHead head = http_get(request);
    const bool to_elsewhere = is_redirect(head.status) && head.find("location").has_value();
    // A HEAD of a large file answers with a redirect that carries the checksum.
    if (!to_elsewhere || (first.head_only && head.find("x-linked-etag"))) return head;
    if (redirects == kMaxRedirects) {
      throw NetworkError(
          fmt::format("{}: more than {} redirects", first.url.origin(), kMaxRedirects), false);
    }
    const Url next = follow(request.url, *head.find("location"));
    if (request.url.tls && !next.tls) {
      throw NetworkError(fmt::format("{}: a redirect from https to http", first.url.origin()),
                         false);
    }
    request.url = next;
    request.fields = first.fields;
  }
}

void HubApi::refuse(const HubName& name, const Url& url, const HttpHead& head) const {
  const std::string shown = fmt::format("{} ({})", name.repository(), url.origin());
  const std::string token = options_.token.empty()
                                ? "; a private or gated model needs a token in HF_TOKEN"
                                : "; the token may not read it";
  if (head.status == 401 || head.status == 403) {
    throw NetworkError(fmt::format("{}: access refused ({}){}", shown, head.status, token), false);
  }
  if (head.status == 404) {
    throw NetworkError(
        fmt::format("{}: no such model, revision or file: {}@{} (404){}", shown, name.repository(),
                    name.revision, options_.token.empty() ? token : ""),
        false);
  }
  if (head.status == 429 || head.status == 503) {
    const auto seconds = number(head.find("retry-after").value_or(""));
    throw Busy(fmt::format("{}: too many requests or no room ({})", shown, head.status),
               seconds ? static_cast<double>(*seconds) : 0);
  }
  throw NetworkError(fmt::format("{}: answered with status {}", shown, head.status),
                     head.status >= 500);
}

bool HubApi::wait_before_try(int done, const NetworkError& error) const {
  if (!error.is_transient() || done >= options_.tries || options_.stopped()) return false;
  double seconds = options_.first_wait * static_cast<double>(1 << std::min(done - 1, 10));
  if (const auto* busy = dynamic_cast<const Busy*>(&error)) {
    seconds = std::max(seconds, busy->seconds);
  }
  seconds = std::min(seconds, kLongestWait);
  options_.on_note(fmt::format("{}; trying again in {:.0f} s", error.what(), seconds));
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (options_.stopped()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

void HubApi::look_up(const HubName& name, const std::string& commit, HubFile& file) const {
  HttpGet request;
  request.url = parse_url(fmt::format("{}/{}/resolve/{}/{}", options_.endpoint.text(),
                                      name.repository(), commit, percent_encoded(file.name, true)));
  request.head_only = true;
  const HttpHead head = get(request);
  if (head.status >= 400) refuse(name, request.url, head);
  const auto either = [&](const char* linked, const char* plain) {
    const auto value = head.find(linked);
    return value ? *value : head.find(plain).value_or("");
  };
  file.etag = plain_etag(either("x-linked-etag", "etag"));
  const auto size = number(either("x-linked-size", "content-length"));
  if (!size) throw FormatError(request.url.text(), "Content-Length", "is missing");
  file.size = *size;
}

HubListing HubApi::list(const HubName& name) const {
  HttpGet request;
  request.url =
      parse_url(fmt::format("{}/api/models/{}/revision/{}?blobs=true", options_.endpoint.text(),
                            name.repository(), percent_encoded(name.revision, false)));
  const std::string where = request.url.text();
  std::string text;
  request.stopped = options_.stopped;
  request.on_body = [&](std::string_view piece) {
    text += piece;
    if (text.size() > kMaxListing) throw FormatError(where, "list", "is longer than 64 MiB");
  };
  for (int tries = 1;; ++tries) {
    text.clear();
    try {
      const HttpHead head = get(request);
      if (head.status != 200) refuse(name, request.url, head);
      break;
    } catch (const NetworkError& error) {
      if (!wait_before_try(tries, error)) throw;
    }
  }
  const Json json = parse_json(text, where);
  HubListing listing;
  listing.commit = stepstone::get<std::string>(json, "sha", where);
  if (!is_hex(listing.commit, 40)) throw FormatError(where, "sha", "is not 40 hexadecimal digits");
  const auto siblings = stepstone::get<std::vector<Json>>(json, "siblings", where);
  if (siblings.size() > kMaxFiles) throw FormatError(where, "siblings", "are more than 100,000");
  for (const Json& sibling : siblings) {
    HubFile file;
    file.name = stepstone::get<std::string>(sibling, "rfilename", where);
    check_file_name(file.name, where);
    file.size = get_or<std::uint64_t>(sibling, "size", where, 0);
    file.etag = get_or<std::string>(sibling, "blobId", where, "");
    if (find_field(sibling, "/lfs/sha256") != nullptr) {
      file.etag = stepstone::get<std::string>(sibling, "/lfs/sha256", where);
      file.size = get_or<std::uint64_t>(sibling, "/lfs/size", where, file.size);
    }
    listing.files.push_back(std::move(file));
  }
  return listing;
}

void HubApi::fetch(const HubName& name, const std::string& commit, const HubFile& file,
                   std::uint64_t begin, const std::function<void(std::uint64_t)>& on_start,
                   const std::function<void(std::string_view)>& on_body) const {
  HttpGet request;
  request.url = parse_url(fmt::format("{}/{}/resolve/{}/{}", options_.endpoint.text(),
                                      name.repository(), commit, percent_encoded(file.name, true)));
  if (begin > 0) request.fields.emplace_back("Range", fmt::format("bytes={}-", begin));
  request.stopped = options_.stopped;
  bool good = false;
  request.on_head = [&](const HttpHead& head) {
    good = head.status == 200 || head.status == 206;
    if (good) on_start(start_of(head, begin, request.url.text()));
  };
  request.on_body = [&](std::string_view piece) {
    if (good) on_body(piece);
  };
  const HttpHead head = get(request);
  if (!good) refuse(name, request.url, head);
}

}  // namespace stepstone
