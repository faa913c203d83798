#include "serve/query.h"

#include <charconv>

#include "io/utf8.h"
#include "serve/api_error.h"

namespace stepstone {
namespace {

std::string decoded(std::string_view text, std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    unsigned byte = 0;
    const char* begin = text.data() + i + 1;
    const bool whole = i + 2 < text.size();
    if (!whole || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) {
      throw ApiError(400, "a % in the address must be followed by two hexadecimal digits",
                     std::string(name));
    }
    out += static_cast<char>(byte);
    i += 2;
  }
  if (out.find('\0') != std::string::npos) {
    throw ApiError(400, "the address has a NUL", std::string(name));
  }
  if (!is_utf8(out)) throw ApiError(400, "the address is not UTF-8", std::string(name));
  return out;
}

}  // namespace

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), field.size() + 1));
    const auto equals = field.find('=');
    if (field.substr(0, equals) != name || equals == std::string_view::npos) continue;
    return decoded(field.substr(equals + 1), name);
  }
  return "";
}

std::int64_t query_integer(std::string_view query, const std::string& name, std::int64_t fallback,
                           std::int64_t low, std::int64_t high) {
  const std::string text = query_value(query, name);
  if (text.empty()) return fallback;
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < low || value > high) {
    throw ApiError(400, fmt::format("{} must be an integer from {} to {}", name, low, high), name);
  }
  return value;
}

}  // namespace stepstone
