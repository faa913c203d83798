#include "hub/url.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace stepstone {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw UsageError(fmt::format("address \"{}\": {}", text, why));
}

}  // namespace

std::string Url::origin() const {
  const bool v6 = host.find(':') != std::string::npos;
  const bool usual = port == (tls ? "443" : "80");
  return fmt::format("{}://{}{}{}", tls ? "https" : "http", v6 ? "[" + host + "]" : host,
                     usual ? "" : ":", usual ? "" : port);
}

Url parse_url(std::string_view text) {
  const auto bad = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; };
  if (std::any_of(text.begin(), text.end(), bad))
    refuse(text, "holds a space or control character");
  Url url;
  const std::string scheme = lower(text.substr(0, text.find("://")));
  if (scheme != "http" && scheme != "https")
    refuse(text, "does not begin with https:// or http://");
  url.tls = scheme == "https";
  std::string_view rest = text.substr(scheme.size() + 3);
  rest = rest.substr(0, rest.find('#'));
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  url.target = rest.substr(authority.size());
  if (url.target.starts_with('?')) url.target = fmt::format("/{}", url.target);
  if (authority.find('@') != std::string_view::npos) refuse(text, "holds a user name");
  std::string_view host = authority, port;
  const std::size_t bracket = authority.find(']');
  const std::size_t colon =
      authority.find(':', authority.starts_with('[') ? std::min(bracket, authority.size()) : 0);
  if (colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
      refuse(text, "has a bad port");
    }
    url.port = std::to_string(number);
  } else {
    url.port = url.tls ? "443" : "80";
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of("[]\\") != std::string_view::npos) {
    refuse(text, "names no host");
  }
  url.host = lower(host);
  return url;
}

Url follow(const Url& base, std::string_view location) {
  if (location.find("://") != std::string_view::npos &&
      location.find("://") < location.find_first_of("/?#")) {
    return parse_url(location);
  }
  if (location.starts_with("//"))
    return parse_url(fmt::format("{}:{}", base.tls ? "https" : "http", location));
  if (!location.starts_with('/')) {
    const std::string path = base.target.substr(0, base.target.find('?'));
    return parse_url(base.origin() + path.substr(0, path.rfind('/') + 1) + std::string(location));
  }
  return parse_url(base.origin() + std::string(location));
}

std::string percent_encoded(std::string_view text, bool slashes) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos || (slashes && c == '/')) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

bool is_loopback(const Url& url) {
  const auto dotted = url.host.find_first_not_of("0123456789.") == std::string::npos;
  return url.host == "localhost" || url.host == "::1" || (dotted && url.host.starts_with("127."));
}

}  // namespace stepstone
