// Addresses of http and https.
#pragma once

#include <string>
#include <string_view>

namespace stepstone {

struct Url {
  bool tls = true;
  std::string host;    // without the brackets of an IPv6 address
  std::string port;    // "443", "80", or as given
  std::string target;  // path and query, beginning with '/'; "" for an address without a path

  // Scheme, host and port: what a token may be sent to, and nothing else.
  std::string origin() const;
  std::string text() const { return origin() + target; }
};

// Throws UsageError for another scheme, user names, control characters and bad ports.
Url parse_url(std::string_view text);

// What "Location: `location`" in an answer of `base` leads to. Throws UsageError.
Url follow(const Url& base, std::string_view location);

// `text` with everything but letters, digits and "-._~" as %XX; '/' is kept when `slashes`.
std::string percent_encoded(std::string_view text, bool slashes);

// 127.0.0.0/8, ::1 and localhost.
bool is_loopback(const Url& url);

}  // namespace stepstone
