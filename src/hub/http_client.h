// One GET over HTTP/1.1 or HTTPS, its body in pieces.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "hub/url.h"

namespace stepstone {

// The network failed: no such host, refused, cut off, too slow, a certificate that does not hold.
class NetworkError : public Error {
 public:
  NetworkError(const std::string& message, bool transient)
      : Error(message), transient_(transient) {}
  // Worth another try.
  bool is_transient() const { return transient_; }

 private:
  bool transient_;
};

using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpHead {
  int status = 0;
  HttpFields fields;  // names in lower case

  std::optional<std::string> find(std::string_view name) const;
};

struct HttpGet {
  Url url;
  HttpFields fields;
  bool head_only = false;                 // HEAD
  std::chrono::seconds connect_time{30};  // for name, connection and TLS together
  std::chrono::seconds idle_time{60};     // between two pieces
  // Called once, then `on_body` for each piece. What they throw ends the request and is passed on.
  std::function<void(const HttpHead&)> on_head;
  std::function<void(std::string_view)> on_body;
  // True ends the request between two pieces.
  std::function<bool()> stopped = [] { return false; };
};

// Certificates are checked against the system's (or SSL_CERT_FILE, SSL_CERT_DIR). Redirects are
// answers like any other. Throws NetworkError when the answer does not come whole.
HttpHead http_get(const HttpGet& request);

}  // namespace stepstone
