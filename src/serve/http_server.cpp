// The one file that includes Boost (with http_stream.h): its headers cost more to compile than all
// the rest.
#include "serve/http_server.h"

#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <csignal>
#include <unordered_set>

#include "core/error.h"
#include "serve/http_stream.h"

namespace stepstone {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

std::string_view http_reason(int status) {
  return {http::obsolete_reason(static_cast<http::status>(status)).data(),
          http::obsolete_reason(static_cast<http::status>(status)).size()};
}

namespace {

constexpr int kWorkers = 2;
// The system would let it grow to megabytes: 600 clients that do not read took all memory that it
// has for TCP, and others' connections suffered.
constexpr int kSendBuffer = 256 << 10;

// co_await f(…, into(error)) reports in `error` instead of throwing.
auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::string head_of(const HttpResponse& response, bool keep_alive, bool chunked, bool sized) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", response.status,
                                 http_reason(response.status), response.content_type);
  for (const auto& [name, value] : response.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
  }
  if (sized) head += fmt::format("Content-Length: {}\r\n", response.body.size());
  if (chunked) head += "Transfer-Encoding: chunked\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

// How many of `wanted` connections the process has descriptors for; raises its limit where it may.
// Without one, a client would not even be refused: it would wait.
std::size_t connections_within_limit(std::size_t wanted) {
  constexpr rlim_t kOthers = 64;  // models, databases, logs
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const rlim_t needed = wanted + kOthers;
  if (limit.rlim_cur < needed) {
    rlimit raised = limit;
    raised.rlim_cur = std::min(needed, limit.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  if (limit.rlim_cur >= needed) return wanted;
  return limit.rlim_cur > kOthers ? limit.rlim_cur - kOthers : 1;
}

std::unique_ptr<asio::ssl::context> tls_of(const HttpOptions& options) {
  if (options.certificate_file.empty() && options.key_file.empty()) return nullptr;
  require<UsageError>(!options.certificate_file.empty() && !options.key_file.empty(),
                      "TLS needs both a certificate and its key");
  using Context = asio::ssl::context;
  auto tls = std::make_unique<Context>(Context::tls_server);
  tls->set_options(Context::default_workarounds | Context::no_tlsv1 | Context::no_tlsv1_1);
  const auto check = [](const std::string& file, const error_code& error) {
    require<UsageError>(!error, "{}: cannot be used for TLS: {}", file, error.message());
  };
  error_code error;
  tls->use_certificate_chain_file(options.certificate_file, error);
  check(options.certificate_file, error);
  tls->use_private_key_file(options.key_file, Context::pem, error);
  check(options.key_file, error);
  return tls;
}

int status_of(const error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return 400;
  }
  return 0;  // the client went away, or was too slow: Beast has closed the connection
}

}  // namespace

// Everything runs on the thread of `io` unless it says otherwise.
class HttpServer::Impl {
 public:
  Impl(HttpOptions options, HttpHandler handler, HttpErrorBody error_body, HttpHeadCheck check_head)
      : options(std::move(options)),
        handler(std::move(handler)),
        error_body(std::move(error_body)),
        check_head(std::move(check_head)),
        tls(tls_of(this->options)),
        acceptor(io),
        drain_timer(io),
        workers(kWorkers) {
    this->options.max_connections = connections_within_limit(this->options.max_connections);
    try {
      const tcp::endpoint where(asio::ip::make_address(this->options.host), this->options.port);
      acceptor.open(where.protocol());
      acceptor.set_option(tcp::acceptor::reuse_address(true));
      acceptor.bind(where);
      acceptor.listen(1024);
    } catch (const boost::system::system_error& e) {
      throw IoError("listen on", fmt::format("{}:{}", this->options.host, this->options.port),
                    e.code().value());
    }
  }

  class Connection;
  class Reply;

  asio::awaitable<void> accept_all();
  void drain();
  void connection_closed(Connection* c) {
    connections.erase(c);
    if (draining && busy == 0) io.stop();
  }

  HttpOptions options;
  HttpHandler handler;
  HttpErrorBody error_body;
  HttpHeadCheck check_head;
  std::unique_ptr<asio::ssl::context> tls;
  std::size_t busy = 0;  // connections with a request in the works
  std::unordered_set<Connection*> connections;
  std::atomic<bool> draining = false;
  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::steady_timer drain_timer;
  asio::thread_pool workers;
};

class HttpServer::Impl::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Impl& server, tcp::socket socket)
      : server_(server),
        stream_(std::move(socket), server.tls.get()),
        wake_(server.io),
        read_limit_(server.io) {}

  asio::awaitable<void> serve();
  // At the end of draining: no request is in the works.
  void close_if_idle() {
    if (!busy_) close();
  }
  void close() {
    error_code ignored;
    stream_.lowest().socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.lowest().close();
    closed_ = true;
    wake_.cancel();
  }

  // The answer to request number `turn`.
  void push(std::uint64_t turn, std::string bytes, bool last) {
    if (turn != turn_ || closed_ || ended_) return;
    if (unsent_.size() > server_.options.max_unsent) return close();  // the client does not read
    unsent_ += bytes;
    ended_ = last;
    wake_.cancel();
  }
  void send(std::uint64_t turn, const HttpResponse& response) {
    if (turn != turn_ || started_) return;
    started_ = true;
    push(turn, head_of(response, keep_alive_, false, true) + (head_only_ ? "" : response.body),
         true);
  }
  void start(std::uint64_t turn, const HttpResponse& head) {
    if (turn != turn_ || started_) return;
    started_ = true;
    keep_alive_ = keep_alive_ && chunked_;
    push(turn, head_of(head, keep_alive_, chunked_, false), false);
  }
  void write(std::uint64_t turn, const std::string& piece) {
    if (piece.empty()) return;
    push(turn, chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : piece, false);
  }
  void finish(std::uint64_t turn) {
    if (turn != turn_ || ended_) return;
    if (!started_) return send(turn, {500, server_.error_body(500, "there is no answer")});
    push(turn, chunked_ ? "0\r\n\r\n" : "", true);
  }
  // A client may have gone before the handler asks: reading its request takes a while.
  void on_gone(std::uint64_t turn, std::function<void()> callback) {
    if (turn != turn_ || (ended_ && !too_late_)) return;
    if (closed_ || too_late_) return callback();
    gone_ = std::move(callback);
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  asio::awaitable<bool> shake_hands();
  asio::awaitable<void> part();
  asio::awaitable<bool> read(Parser& parser);
  // Cancels the reading when the time is over; 0: no limit.
  void limit_reading(std::chrono::milliseconds time);
  asio::awaitable<void> refuse(int status, std::string_view message);
  asio::awaitable<void> refuse(HttpResponse response);
  void begin(HttpRequest request);
  asio::awaitable<void> answer(HttpRequest request);
  asio::awaitable<bool> send_unsent();
  asio::awaitable<void> watch(std::uint64_t turn);
  HttpRequest convert(Parser& parser);

  Impl& server_;
  HttpStream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer wake_, read_limit_;
  std::uint64_t limit_number_ = 0;
  bool read_too_long_ = false;
  std::uint64_t turn_ = 0;  // number of the request being answered
  std::string unsent_;
  bool started_ = false, ended_ = false, too_late_ = false;  // of the answer
  bool busy_ = false, closed_ = false, shook_hands_ = false;
  bool keep_alive_ = true, chunked_ = true, head_only_ = false;
  std::function<void()> gone_;
};

class HttpServer::Impl::Reply : public HttpReply {
 public:
  Reply(Impl& server, std::shared_ptr<Connection> connection, std::uint64_t turn)
      : io_(server.io), connection_(std::move(connection)), turn_(turn) {}
  // A handler that forgets its request must not leave the client waiting.
  ~Reply() override { finish(); }

  void send(HttpResponse response) override {
    post([response = std::move(response)](Connection& c, std::uint64_t turn) {
      c.send(turn, response);
    });
  }
  void start(HttpResponse head) override {
    post([head = std::move(head)](Connection& c, std::uint64_t turn) { c.start(turn, head); });
  }
  void write(std::string piece) override {
    post([piece = std::move(piece)](Connection& c, std::uint64_t turn) { c.write(turn, piece); });
  }
  void finish() override {
    post([](Connection& c, std::uint64_t turn) { c.finish(turn); });
  }
  void on_gone(std::function<void()> callback) override {
    post([callback = std::move(callback)](Connection& c, std::uint64_t turn) mutable {
      c.on_gone(turn, std::move(callback));
    });
  }

 private:
  template <typename F>
  void post(F f) {
    asio::post(io_, [connection = connection_, turn = turn_, f = std::move(f)]() mutable {
      f(*connection, turn);
    });
  }

  asio::io_context& io_;
  std::shared_ptr<Connection> connection_;
  std::uint64_t turn_;
};

asio::awaitable<void> HttpServer::Impl::Connection::serve() {
  const auto self = shared_from_this();
  try {
    while (!closed_ && co_await shake_hands()) {
      Parser parser;
      if (!co_await read(parser)) break;
      if (server_.draining) {
        co_await refuse(503, "the server is shutting down");
        break;
      }
      HttpRequest request = convert(parser);
      busy_ = true;
      ++server_.busy;
      co_await answer(std::move(request));
      if (!keep_alive_ || server_.draining) break;
      busy_ = false;
      --server_.busy;
    }
    if (!closed_) co_await part();
  } catch (const std::exception&) {
    // The connection failed: it ends here, and nothing else does.
  }
  if (gone_) std::exchange(gone_, nullptr)();
  limit_reading({});
  close();
  if (busy_) --server_.busy;
  server_.connection_closed(this);
}

asio::awaitable<bool> HttpServer::Impl::Connection::shake_hands() {
  if (stream_.tls() == nullptr || std::exchange(shook_hands_, true)) co_return true;
  error_code error;
  stream_.lowest().expires_after(server_.options.head_time);
  co_await stream_.tls()->async_handshake(asio::ssl::stream_base::server, into(error));
  stream_.lowest().expires_never();
  co_return !error;
}

// TLS wants to be told of the end.
asio::awaitable<void> HttpServer::Impl::Connection::part() {
  if (stream_.tls() == nullptr || !shook_hands_) co_return;
  error_code error;
  stream_.lowest().expires_after(std::chrono::seconds(1));
  co_await stream_.tls()->async_shutdown(into(error));
}

void HttpServer::Impl::Connection::limit_reading(std::chrono::milliseconds time) {
  const std::uint64_t number = ++limit_number_;
  read_limit_.cancel();
  if (time.count() == 0) return;
  read_limit_.expires_after(time);
  read_limit_.async_wait([this, number, weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (error || !self || number != limit_number_) return;
    read_too_long_ = true;
    error_code ignored;
    stream_.lowest().socket().cancel(ignored);
  });
}

asio::awaitable<bool> HttpServer::Impl::Connection::read(Parser& parser) {
  const HttpOptions& o = server_.options;
  parser.header_limit(static_cast<std::uint32_t>(o.max_head));
  parser.body_limit(o.max_body);
  error_code error;
  if (buffer_.size() == 0) {
    // Who has not asked anything yet gets the time of a head, not that of a kept connection.
    stream_.lowest().expires_after(turn_ == 0 ? o.head_time : o.idle_time);
    const std::size_t n = co_await stream_.async_read_some(buffer_.prepare(4096), into(error));
    if (error) co_return false;
    buffer_.commit(n);
  }
  // One deadline for the whole head: a client that sends a byte now and then gains nothing.
  stream_.lowest().expires_never();
  limit_reading(o.head_time);
  co_await http::async_read_header(stream_, buffer_, parser, into(error));
  if (!error && static_cast<std::size_t>(std::distance(parser.get().begin(), parser.get().end())) >
                    o.max_headers) {
    co_await refuse(431, "too many header fields");
    co_return false;
  }
  if (!error && server_.check_head && !parser.is_done()) {
    if (auto refusal = server_.check_head(convert(parser))) {
      limit_reading({});
      co_await refuse(std::move(*refusal));
      co_return false;
    }
  }
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream_, asio::buffer(kContinue), into(error));
  }
  if (!error) {
    limit_reading(o.body_time);
    co_await http::async_read(stream_, buffer_, parser, into(error));
  }
  limit_reading({});
  if (!error) co_return true;
  const int status = read_too_long_ ? 408 : status_of(error);
  std::string message = "bad HTTP request: " + error.message();
  if (status == 408) message = "the request took too long to arrive";
  if (status == 413) message = fmt::format("the body is larger than {} bytes", o.max_body);
  if (status != 0) co_await refuse(status, message);
  co_return false;
}

asio::awaitable<void> HttpServer::Impl::Connection::refuse(int status, std::string_view message) {
  HttpResponse response{status, server_.error_body(status, message)};
  if (status == 503) response.headers["Retry-After"] = "1";
  co_await refuse(std::move(response));
}

asio::awaitable<void> HttpServer::Impl::Connection::refuse(HttpResponse response) {
  const std::string bytes = head_of(response, false, false, true) + response.body;
  error_code error;
  stream_.lowest().expires_after(server_.options.write_time);
  co_await asio::async_write(stream_, asio::buffer(bytes), into(error));
  if (stream_.tls() == nullptr) {
    stream_.lowest().socket().shutdown(tcp::socket::shutdown_send, error);
  }
  // Reads what still comes of a body, and forgets it: closing on unread data would take the answer
  // back.
  stream_.lowest().expires_after(std::chrono::seconds(2));
  std::size_t left = 2 * server_.options.max_body;
  while (!error && left > 0) {
    buffer_.clear();
    const std::size_t n = co_await stream_.async_read_some(buffer_.prepare(65536), into(error));
    left -= std::min(left, n);
  }
}

HttpRequest HttpServer::Impl::Connection::convert(Parser& parser) {
  auto& message = parser.get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::string& value = request.headers[name];
    if (!value.empty()) value += ", ";
    value += std::string_view(field.value().data(), field.value().size());
  }
  request.body = std::move(message.body());
  keep_alive_ = message.keep_alive();
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  return request;
}

void HttpServer::Impl::Connection::begin(HttpRequest request) {
  const bool quick = request.method == "GET" || request.method == "HEAD";
  auto work = [this, request = std::move(request),
               reply = std::make_shared<Reply>(server_, shared_from_this(), turn_)]() mutable {
    try {
      server_.handler(std::move(request), reply);
    } catch (const std::exception& e) {
      reply->send({500, server_.error_body(500, e.what())});
    }
  };
  if (quick) {
    work();
  } else {
    asio::post(server_.workers, std::move(work));
  }
}

asio::awaitable<void> HttpServer::Impl::Connection::answer(HttpRequest request) {
  ++turn_;
  started_ = ended_ = too_late_ = false;
  unsent_.clear();
  begin(std::move(request));
  asio::co_spawn(server_.io, watch(turn_), asio::detached);
  const auto deadline = std::chrono::steady_clock::now() + server_.options.total_time;
  while (!closed_) {
    if (!unsent_.empty()) {
      if (!co_await send_unsent()) break;
      continue;
    }
    if (ended_) break;
    wake_.expires_at(deadline);
    error_code error;
    co_await wake_.async_wait(into(error));
    if (error || closed_) continue;  // woken
    too_late_ = true;
    if (gone_) std::exchange(gone_, nullptr)();
    if (started_) {
      close();
    } else {
      send(turn_, {504, server_.error_body(504, "the answer took too long")});
    }
  }
  if (!ended_) close();
  if (gone_ && (closed_ || !ended_)) gone_();
  gone_ = nullptr;
  keep_alive_ = keep_alive_ && !closed_;
}

asio::awaitable<bool> HttpServer::Impl::Connection::send_unsent() {
  const std::string bytes = std::exchange(unsent_, {});
  stream_.lowest().expires_after(server_.options.write_time);
  error_code error;
  co_await asio::async_write(stream_, asio::buffer(bytes), into(error));
  stream_.lowest().expires_never();
  co_return !error;
}

// Sees that the client went away while nothing is to be written.
asio::awaitable<void> HttpServer::Impl::Connection::watch(std::uint64_t turn) {
  const auto self = shared_from_this();
  asio::steady_timer pause(server_.io);
  while (true) {
    error_code error;
    co_await stream_.lowest().socket().async_wait(tcp::socket::wait_read, into(error));
    if (turn != turn_ || ended_ || closed_) co_return;
    pollfd state{stream_.lowest().socket().native_handle(), POLLRDHUP, 0};
    if (::poll(&state, 1, 0) > 0) co_return close();
    // Bytes of the next request, or of TLS itself: they wait until this one is answered.
    pause.expires_after(std::chrono::milliseconds(250));
    co_await pause.async_wait(into(error));
    if (turn != turn_ || ended_ || closed_) co_return;
  }
}

asio::awaitable<void> HttpServer::Impl::accept_all() {
  for (;;) {
    error_code error;
    tcp::socket socket = co_await acceptor.async_accept(into(error));
    if (!acceptor.is_open()) co_return;
    if (error) {  // out of descriptors, most likely: give the others time to end
      asio::steady_timer pause(io, std::chrono::milliseconds(50));
      co_await pause.async_wait(into(error));
      continue;
    }
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(tcp::socket::send_buffer_size(kSendBuffer), error);
    if (connections.size() >= options.max_connections) {
      const HttpResponse full{
          503, error_body(503, "too many connections"), "application/json", {{"Retry-After", "1"}}};
      const std::string bytes = head_of(full, false, false, true) + full.body;
      socket.non_blocking(true, error);
      socket.write_some(asio::buffer(bytes), error);
      continue;
    }
    auto connection = std::make_shared<Connection>(*this, std::move(socket));
    connections.insert(connection.get());
    asio::co_spawn(
        io, [connection] { return connection->serve(); }, asio::detached);
  }
}

void HttpServer::Impl::drain() {
  if (draining.exchange(true)) return io.stop();
  // Closing may end a connection's last reference, which takes it out of the set.
  const std::vector<Connection*> now(connections.begin(), connections.end());
  for (Connection* c : now) {
    if (connections.contains(c)) c->close_if_idle();
  }
  if (busy == 0) return io.stop();
  drain_timer.expires_after(options.drain_time);
  drain_timer.async_wait([this](error_code error) {
    if (!error) io.stop();
  });
}

HttpServer::HttpServer(HttpOptions options, HttpHandler handler, HttpErrorBody error_body,
                       HttpHeadCheck check_head)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler), std::move(error_body),
                                   std::move(check_head))) {}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

bool HttpServer::draining() const { return impl_->draining; }

void HttpServer::run(bool signals) {
  asio::signal_set set(impl_->io);
  std::function<void(error_code, int)> on_signal = [&](error_code error, int) {
    if (error) return;
    impl_->drain();
    set.async_wait(on_signal);
  };
  if (signals) {
    set.add(SIGINT);
    set.add(SIGTERM);
    set.async_wait(on_signal);
  }
  asio::co_spawn(impl_->io, impl_->accept_all(), asio::detached);
  impl_->io.run();
  error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->workers.join();
}

void HttpServer::stop() {
  asio::post(impl_->io, [this] { impl_->drain(); });
}

}  // namespace stepstone
