#include "serve/api_keys.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <algorithm>

#include <charconv>
#include <set>
#include <sstream>

#include "core/error.h"
#include "io/file.h"

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

// The first 12 hexadecimal digits of the SHA-256.
std::string hash_of(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  require(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) == 1,
          "SHA-256 failed");
  std::string hex;
  for (int i = 0; i < 6; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

ApiKeys::ApiKeys(std::vector<ApiKey> keys) : keys_(std::move(keys)) {
  std::set<std::string> secrets, names;
  for (ApiKey& key : keys_) {
    require<UsageError>(!key.secret.empty(), "an API key must not be empty");
    require<UsageError>(secrets.insert(key.secret).second, "an API key was given twice");
    if (key.name.empty()) key.name = "key-" + hash_of(key.secret);
    require<UsageError>(names.insert(key.name).second, "two API keys have the name {}", key.name);
  }
}

std::vector<ApiKey> ApiKeys::read(const std::filesystem::path& file) {
  std::istringstream in(read_file(file, std::uint64_t{1} << 20));
  std::vector<ApiKey> keys;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line);
    ApiKey key;
    if (!(words >> key.secret) || key.secret[0] == '#') continue;
    for (std::string word; words >> word;) {
      constexpr std::string_view kName = "name=", kTokens = "tokens-per-day=";
      const char* end = word.data() + word.size();
      bool good = false;
      if (word.starts_with(kName)) {
        key.name = word.substr(kName.size());
        good = !key.name.empty();
      } else if (word == "admin") {
        good = key.admin = true;
      } else if (word.starts_with(kTokens)) {
        const auto read = std::from_chars(word.data() + kTokens.size(), end, key.tokens_per_day);
        good = read.ec == std::errc() && read.ptr == end && key.tokens_per_day > 0;
      }
      require<UsageError>(
          good, "{}: line {}: after the key: expected name=NAME, tokens-per-day=N or admin",
          file.string(), number);
    }
    keys.push_back(std::move(key));
  }
  require<UsageError>(!keys.empty(), "{}: holds no key", file.string());
  return keys;
}

const ApiKey* ApiKeys::find(std::string_view authorization, std::string_view x_api_key) const {
  static const ApiKey everyone{.secret = {}, .admin = true};
  if (keys_.empty()) return &everyone;
  constexpr std::string_view kBearer = "bearer ";  // in any case (RFC 9110, 11.1)
  std::string_view given = x_api_key;
  const auto same = [](char c, char of) {
    return (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == of;
  };
  if (std::ranges::equal(authorization.substr(0, kBearer.size()), kBearer, same)) {
    given = authorization.substr(kBearer.size());
  }
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    if (equal(given, key.secret)) found = &key;
  }
  return found;
}

}  // namespace stepstone
