// HTTP/1.1 on one I/O thread: requests in, answers or streams of events out, within limits.
//
// Nothing slow runs on the I/O thread: GET is handled there and must be quick, all else on a pair
// of worker threads.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace stepstone {

struct HttpOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;  // 0: any free one
  // PEM files: the certificate with its chain, and its key. Both empty: no TLS.
  std::string certificate_file, key_file;
  std::size_t max_head = 16 << 10;
  std::size_t max_headers = 100;
  std::size_t max_body = 16 << 20;
  std::size_t max_connections = 2048;             // fewer where descriptors are scarce
  std::size_t max_unsent = 1 << 20;               // bytes that a slow reader may leave waiting
  std::chrono::milliseconds idle_time{75000};     // between requests
  std::chrono::milliseconds head_time{10000};     // for all of a request's head
  std::chrono::milliseconds body_time{60000};     // for all of its body
  std::chrono::milliseconds write_time{30000};    // for a piece of the answer to be taken
  std::chrono::milliseconds total_time{3600000};  // from request to the end of the answer
  std::chrono::milliseconds drain_time{30000};    // to finish in after stop()
};

struct HttpRequest {
  std::string method, path, query;             // path as sent: nothing is decoded
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones by ", "
  std::string body;

  std::string_view header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? std::string_view() : std::string_view(at->second);
  }
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers = {};
};

// The answer to one request; every function may be called from any thread, and does nothing once
// the client is gone. Either send(), or start() then write()s and finish().
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual void send(HttpResponse response) = 0;
  // The head of a response whose body comes in pieces.
  virtual void start(HttpResponse head) = 0;
  virtual void write(std::string piece) = 0;
  virtual void finish() = 0;
  // Called once, on the I/O thread, if the client goes away or time runs out before the end.
  virtual void on_gone(std::function<void()> callback) = 0;
};

// Looks at a request's head before its body is read, on the I/O thread. An answer refuses the
// request: its body is never kept, and the connection ends.
using HttpHeadCheck = std::function<std::optional<HttpResponse>(const HttpRequest& head)>;
using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<HttpReply>)>;
// The body of an error that the server itself answers with (400, 408, 413, 431, 500, 503, 504).
using HttpErrorBody = std::function<std::string(int status, std::string_view message)>;

class HttpServer {
 public:
  // Binds and listens; raises the process's soft limit of descriptors as far as its connections
  // need it. Throws IoError, UsageError for a certificate or key that cannot be used.
  HttpServer(HttpOptions options, HttpHandler handler, HttpErrorBody error_body,
             HttpHeadCheck check_head = {});
  ~HttpServer();

  std::uint16_t port() const;
  // Serves until stop() or, with `signals`, SIGINT or SIGTERM; then answers new requests with 503,
  // lets what runs end within drain_time, and returns. A second signal ends at once. When this
  // returns, the handler is called no more; replies must be gone before the server is.
  void run(bool signals);
  // From any thread.
  void stop();
  // True once draining has begun.
  bool draining() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

std::string_view http_reason(int status);

}  // namespace stepstone
