#include "serve/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <tuple>

#include "core/error.h"

namespace stepstone {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::chrono_literals;

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const timeval limit{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(); }
  bool connected() const { return connected_; }
  void send(std::string_view text) const {
    std::ignore = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  // Until `end` has come, or the connection ends.
  std::string read_to(std::string_view end) const {
    std::string text;
    char piece[4096];
    while (text.find(end) == std::string::npos) {
      const auto n = ::recv(socket_, piece, sizeof piece, 0);
      if (n <= 0) break;
      text.append(piece, static_cast<std::size_t>(n));
    }
    return text;
  }
  std::string read_all() const { return read_to(std::string(1, '\0') + "never"); }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
  bool connected_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void start(HttpHandler handler) {
    options.port = 0;
    server = std::make_unique<HttpServer>(
        options, std::move(handler),
        [](int status, std::string_view message) { return fmt::format("{} {}", status, message); });
    thread = std::thread([this] { server->run(false); });
  }
  void TearDown() override {
    server->stop();
    thread.join();
    kept.clear();  // before the server
  }
  static void echo(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    reply->send({200, fmt::format("{} {}?{} [{}]", request.method, request.path, request.query,
                                  request.body)});
  }

  HttpOptions options;
  std::unique_ptr<HttpServer> server;
  std::thread thread;
  std::vector<std::shared_ptr<HttpReply>> kept;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOfOneConnection) {
  start(echo);
  Client client(server->port());
  client.send("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_to("]"), HasSubstr("\r\n\r\nGET /a?b=c []"));
  // Two at once, the first in pieces.
  client.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Le");
  std::this_thread::sleep_for(20ms);
  client.send("ngth: 5\r\n\r\nhelloGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string both = client.read_all();
  EXPECT_THAT(both, HasSubstr("POST /b? [hello]"));
  EXPECT_THAT(both, HasSubstr("GET /c? []"));
}

TEST_F(HttpServerTest, StreamsInChunks) {
  start([](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->start({200, "", "text/plain"});
    reply->write("first");
    reply->write("second piece");
    reply->finish();
  });
  Client client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_to("0\r\n\r\n"), HasSubstr("5\r\nfirst\r\nc\r\nsecond piece\r\n0\r\n"));
  Client old(server->port());
  old.send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.read_all(), HasSubstr("\r\n\r\nfirstsecond piece"));
}

TEST_F(HttpServerTest, AHeadThatTricklesInIsCutOff) {
  options.head_time = 300ms;
  start(echo);
  Client slow(server->port());
  const auto begin = std::chrono::steady_clock::now();
  std::thread trickle([&] {
    for (int i = 0; i < 8; ++i) {
      slow.send("G");
      std::this_thread::sleep_for(100ms);
    }
  });
  EXPECT_THAT(slow.read_all(), StartsWith("HTTP/1.1 408"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  trickle.join();
}

TEST_F(HttpServerTest, ASilentClientIsCutOff) {
  options.head_time = 300ms;
  start(echo);
  const Client silent(server->port());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  // Who has asked something may be silent for longer.
  const Client kept(server->port());
  kept.send("GET /a HTTP/1.1\r\n\r\n");
  kept.read_to("]");
  std::this_thread::sleep_for(600ms);
  kept.send("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(kept.read_to("]"), HasSubstr("GET /b? []"));
}

TEST_F(HttpServerTest, ABodyThatTricklesInIsCutOff) {
  options.body_time = 300ms;
  start(echo);
  Client slow(server->port());
  const auto begin = std::chrono::steady_clock::now();
  slow.send("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
  std::thread trickle([&] {
    for (int i = 0; i < 8; ++i) {
      slow.send("x");
      std::this_thread::sleep_for(100ms);
    }
  });
  EXPECT_THAT(slow.read_all(), StartsWith("HTTP/1.1 408"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  trickle.join();
}

TEST_F(HttpServerTest, ConnectionsBeyondTheMostAreToldSo) {
  options.max_connections = 3;
  start(echo);
  std::vector<std::unique_ptr<Client>> kept;
  for (int i = 0; i < 3; ++i) {
    kept.push_back(std::make_unique<Client>(server->port()));
    kept.back()->send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_THAT(kept.back()->read_to("]"), StartsWith("HTTP/1.1 200"));
  }
  const std::string full = Client(server->port()).read_all();
  EXPECT_THAT(full, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(full, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(full, HasSubstr("too many connections"));
  kept.pop_back();
  std::string answer;
  for (int i = 0; i < 200 && !answer.starts_with("HTTP/1.1 200"); ++i) {
    const Client next(server->port());
    next.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    answer = next.read_all();
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, LimitsHeadAndBody) {
  options.max_head = 2000;
  options.max_headers = 10;
  options.max_body = 100;
  start(echo);
  const auto answer = [&](const std::string& request) {
    Client client(server->port());
    client.send(request);
    return client.read_all();
  };
  const std::string get = "GET / HTTP/1.1\r\n";
  EXPECT_THAT(answer(get + "A: " + std::string(3000, 'a') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  std::string many = get;
  for (int i = 0; i < 11; ++i) many += fmt::format("A{}: b\r\n", i);
  EXPECT_THAT(answer(many + "\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" +
                     std::string(101, 'x') + "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpServerTest, TellsWhenTheClientIsGone) {
  std::atomic<int> gone = 0;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->on_gone([&] { ++gone; });
    kept.push_back(reply);
    reply->start({200, "", "text/plain"});
    reply->write("x");
  });
  {
    Client client(server->port());
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.read_to("x");
  }
  for (int i = 0; gone == 0 && i < 200; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(gone, 1);
}

TEST_F(HttpServerTest, TellsOfAClientThatWentBeforeItWasAsked) {
  std::atomic<int> gone = 0;
  std::atomic<bool> left = false;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    while (!left) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(100ms);  // the server sees it
    reply->on_gone([&] { ++gone; });
  });
  {
    Client client(server->port());
    client.send("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    std::this_thread::sleep_for(50ms);  // the request arrives
  }
  left = true;
  for (int i = 0; gone == 0 && i < 200; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(gone, 1);
}

TEST_F(HttpServerTest, NobodyIsGoneWhoGotAnAnswer) {
  std::atomic<int> gone = 0;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send({200, "whole"});
    reply->on_gone([&] { ++gone; });
  });
  {
    Client client(server->port());
    client.send("POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(client.read_all(), HasSubstr("whole"));
  }
  server->stop();
  thread.join();
  EXPECT_EQ(gone, 0);
  thread = std::thread([] {});  // for TearDown
}

TEST_F(HttpServerTest, AReaderThatDoesNotReadIsCutOff) {
  options.max_unsent = 100000;
  std::atomic<bool> gone = false;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->on_gone([&] { gone = true; });
    kept.push_back(reply);
    reply->start({200, "", "text/plain"});
    for (int i = 0; i < 1000; ++i) reply->write(std::string(20000, 'x'));
  });
  Client client(server->port(), 4096);
  client.send("GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; !gone && i < 400; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(gone);
}

TEST_F(HttpServerTest, AReaderThatReadsTooSlowlyIsCutOff) {
  options.write_time = 300ms;
  options.max_unsent = std::size_t{1} << 30;
  std::atomic<bool> gone = false;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->on_gone([&] { gone = true; });
    kept.push_back(reply);
    reply->start({200, "", "text/plain"});
    reply->write(std::string(std::size_t{32} << 20, 'x'));
  });
  const Client client(server->port(), 4096);
  client.send("GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; !gone && i < 100; ++i) {
    client.read_to("x");  // 4 KiB at most
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_TRUE(gone);
}

TEST_F(HttpServerTest, AnAnswerThatTakesTooLongAndAnExceptionAreErrors) {
  options.total_time = 100ms;
  start([&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path == "/throw") throw std::runtime_error("why");
    kept.push_back(reply);
  });
  Client late(server->port()), thrown(server->port());
  late.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(late.read_all(), StartsWith("HTTP/1.1 504"));
  thrown.send("GET /throw HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(thrown.read_all(), HasSubstr("500 why"));
}

TEST_F(HttpServerTest, DrainsWhatRunsAndRefusesWhatIsNew) {
  std::atomic<int> begun = 0;
  std::thread late;
  start([&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    late = std::thread([reply] {
      std::this_thread::sleep_for(1s);
      reply->send({200, "late but whole"});
    });
    ++begun;
  });
  const std::uint16_t port = server->port();
  Client idle(port), busy(port);
  busy.send("GET / HTTP/1.1\r\n\r\n");
  while (begun == 0) std::this_thread::sleep_for(1ms);
  server->stop();
  EXPECT_EQ(idle.read_all(), "");  // draining has begun
  Client fresh(port);
  fresh.send("GET /health HTTP/1.1\r\n\r\n");
  EXPECT_THAT(fresh.read_to("shutting down"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(busy.read_all(), HasSubstr("late but whole"));
  late.join();
  thread.join();
  EXPECT_FALSE(Client(port).connected());
  thread = std::thread([] {});  // for TearDown
}

}  // namespace
}  // namespace stepstone
