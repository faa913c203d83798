#include "serve/api_keys.h"

#include <fmt/format.h>

#include <fstream>

#include "core/error.h"

namespace stepstone {
namespace {

// Looks at every byte of `given`, wherever the first difference is.
bool equal(std::string_view given, std::string_view key) {
  volatile unsigned difference = given.size() != key.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference = difference | (static_cast<unsigned char>(given[i]) ^
                               static_cast<unsigned char>(key[i % key.size()]));
  }
  return difference == 0;
}

}  // namespace

ApiKeys::ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {
  for (const std::string& key : keys_) {
    require<UsageError>(!key.empty(), "an API key must not be empty");
  }
}

std::vector<std::string> ApiKeys::read(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw IoError("open", file.string(), errno);
  std::vector<std::string> keys;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && line[0] != '#') keys.push_back(line);
  }
  require<UsageError>(!keys.empty(), "{}: holds no key", file.string());
  return keys;
}

std::optional<std::string> ApiKeys::holder(std::string_view authorization,
                                           std::string_view x_api_key) const {
  if (keys_.empty()) return "";
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view given = x_api_key;
  if (authorization.starts_with(kBearer)) given = authorization.substr(kBearer.size());
  std::optional<std::string> found;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (equal(given, keys_[i])) found = fmt::format("key {}", i);
  }
  return found;
}

}  // namespace stepstone
