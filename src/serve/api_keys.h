// Who may use the server, and how much.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

struct ApiKey {
  std::string secret;
  // Of its holder, for the ledger of usage; empty: "key-" and the beginning of the secret's hash,
  // the same at every start.
  std::string name = {};
  std::int64_t tokens_per_day = 0;  // 0: no limit
  bool admin = false;               // may load and unload models
};

class ApiKeys {
 public:
  // No keys: everyone may.
  ApiKeys() = default;
  // Throws UsageError for an empty key, one given twice, and two of one name.
  explicit ApiKeys(std::vector<ApiKey> keys);
  // One key per line, then, if wanted, "name=NAME", "tokens-per-day=N" and "admin"; empty lines and
  // lines that begin with # are skipped. Throws IoError, UsageError naming the line, and when there
  // is no key.
  static std::vector<ApiKey> read(const std::filesystem::path& file);

  bool empty() const { return keys_.empty(); }
  // The one in an Authorization ("Bearer KEY") or x-api-key header; null for none or a wrong one.
  // Takes as long for every key of a length. Without keys, everyone is one holder without a name.
  const ApiKey* find(std::string_view authorization, std::string_view x_api_key) const;

 private:
  std::vector<ApiKey> keys_;
};

}  // namespace stepstone
