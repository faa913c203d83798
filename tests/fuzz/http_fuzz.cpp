// The bytes of a connection to the server, whose handler reads the body as JSON.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "core/error.h"
#include "fuzz.h"
#include "io/json.h"
#include "serve/http_server.h"

using namespace stepstone;

namespace {

void handle(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  try {
    (void)request.header("authorization");
    if (request.method == "POST") (void)parse_json(request.body, "request");
    reply->send({});
  } catch (const Error& error) {
    reply->send({.status = 400, .body = "{}"});
  }
}

std::uint16_t port() {
  static HttpServer* const server = [] {
    HttpOptions options;
    options.port = 0;
    options.max_body = 4096;
    options.idle_time = options.head_time = options.body_time = std::chrono::milliseconds(500);
    auto* made = new HttpServer(options, handle, [](int, std::string_view) { return "{}"; });
    std::thread([made] { made->run(false); }).detach();
    return made;
  }();
  return server->port();
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  return {
      "GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:80\r\nContent-Type: "
      "application/json\r\n"
      "Content-Length: 13\r\n\r\n{\"model\": [1]}",
      "POST /x?y=%20 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\nAuthorization: Bearer x\r\nExpect: 100-continue\r\n\r\n",
  };
}

std::vector<std::string> fuzz::words() {
  return {"\r\n",
          "\r\n\r\n",
          "Content-Length: ",
          "Content-Length: 18446744073709551616\r\n",
          "Content-Length: -1\r\n",
          "Transfer-Encoding: chunked\r\n",
          "Transfer-Encoding: gzip\r\n",
          "ffffffffffffffff\r\n",
          "Host: b\r\n",
          "Connection: keep-alive\r\n",
          "HTTP/2.0",
          " ",
          "\t",
          std::string("\0", 1),
          "Upgrade: websocket\r\n",
          ";ext=1",
          "\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    __builtin_trap();  // the server is gone
  }
  // No TIME_WAIT for each of many connections.
  const linger at_once{1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  const timeval limit{2, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  (void)!::send(socket, data, size, MSG_NOSIGNAL);
  ::shutdown(socket, SHUT_WR);
  char answer[4096];
  ssize_t n = 0;
  while ((n = ::recv(socket, answer, sizeof answer, 0)) > 0) {
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) __builtin_trap();  // it hangs
  ::close(socket);
  return 0;
}
