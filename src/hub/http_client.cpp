#include "hub/http_client.h"

#include <openssl/err.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <exception>

#include "core/version.h"

namespace stepstone {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using boost::system::system_error;

constexpr std::uint32_t kMaxHead = 64 << 10;
constexpr auto kWait = asio::use_awaitable;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

HttpHead head_of(const http::response_header<>& header) {
  HttpHead head;
  head.status = static_cast<int>(header.result_int());
  for (const auto& field : header) {
    head.fields.emplace_back(lower(field.name_string()), std::string(field.value()));
  }
  return head;
}

http::request<http::empty_body> message_of(const HttpGet& get) {
  const std::string target = get.url.target.empty() ? "/" : get.url.target;
  http::request<http::empty_body> message(get.head_only ? http::verb::head : http::verb::get,
                                          target, 11);
  const std::string origin = get.url.origin();
  message.set(http::field::host, origin.substr(origin.find("://") + 3));
  message.set(http::field::user_agent, std::string("stepstone/") + kVersion);
  message.set(http::field::accept_encoding, "identity");
  message.set(http::field::connection, "close");
  for (const auto& [name, value] : get.fields) message.set(name, value);
  return message;
}

template <typename Stream>
asio::awaitable<HttpHead> exchange(Stream& stream, const HttpGet& get) {
  auto& lowest = beast::get_lowest_layer(stream);
  const auto message = message_of(get);
  lowest.expires_after(get.idle_time);
  co_await http::async_write(stream, message, kWait);
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.header_limit(kMaxHead);
  parser.body_limit(boost::none);
  parser.skip(get.head_only);
  co_await http::async_read_header(stream, buffer, parser, kWait);
  const HttpHead head = head_of(parser.get().base());
  if (get.on_head) get.on_head(head);
  std::vector<char> piece(std::size_t{1} << 18);
  while (!parser.is_done() && !get.stopped()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    parser.get().body().more = true;
    lowest.expires_after(get.idle_time);
    error_code error;
    co_await http::async_read_some(stream, buffer, parser, asio::redirect_error(kWait, error));
    if (error && error != http::error::need_buffer) throw system_error(error);
    const std::size_t size = piece.size() - parser.get().body().size;
    if (size > 0 && get.on_body) get.on_body({piece.data(), size});
  }
  co_return head;
}

asio::awaitable<HttpHead> run(const HttpGet& get, asio::ssl::context& tls) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  const auto addresses = co_await resolver.async_resolve(get.url.host, get.url.port, kWait);
  if (!get.url.tls) {
    beast::tcp_stream stream(executor);
    stream.expires_after(get.connect_time);
    co_await stream.async_connect(addresses, kWait);
    co_return co_await exchange(stream, get);
  }
  beast::ssl_stream<beast::tcp_stream> stream(executor, tls);
  stream.set_verify_mode(asio::ssl::verify_peer);
  stream.set_verify_callback(asio::ssl::host_name_verification(get.url.host));
  if (!SSL_set_tlsext_host_name(stream.native_handle(), get.url.host.c_str())) {
    throw system_error(
        error_code(static_cast<int>(::ERR_get_error()), asio::error::get_ssl_category()));
  }
  beast::get_lowest_layer(stream).expires_after(get.connect_time);
  co_await beast::get_lowest_layer(stream).async_connect(addresses, kWait);
  co_await stream.async_handshake(asio::ssl::stream_base::client, kWait);
  co_return co_await exchange(stream, get);
}

}  // namespace

std::optional<std::string> HttpHead::find(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return std::nullopt;
}

HttpHead http_get(const HttpGet& get) {
  asio::io_context io;
  asio::ssl::context tls(asio::ssl::context::tls_client);
  tls.set_default_verify_paths();
  HttpHead head;
  std::exception_ptr failure;
  asio::co_spawn(io, run(get, tls), [&](std::exception_ptr error, HttpHead answer) {
    failure = error;
    head = std::move(answer);
  });
  io.run();
  if (!failure) return head;
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& error) {
    const bool certificate = error.code().category() == asio::error::get_ssl_category();
    throw NetworkError(fmt::format("{}: {}", get.url.origin(), error.code().message()),
                       !certificate);
  }
}

}  // namespace stepstone
