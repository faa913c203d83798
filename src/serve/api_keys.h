// Who may use the server.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

class ApiKeys {
 public:
  // No keys: everyone may.
  ApiKeys() = default;
  // Throws UsageError for an empty key.
  explicit ApiKeys(std::vector<std::string> keys);
  // One key per line; empty lines and lines that begin with # are skipped. Throws IoError,
  // UsageError when there is none.
  static std::vector<std::string> read(const std::filesystem::path& file);

  bool empty() const { return keys_.empty(); }
  // A name for the holder of the key in an Authorization ("Bearer KEY") or x-api-key header, the
  // same each time; nullopt for no or a wrong key. Takes as long for every key of a length.
  std::optional<std::string> holder(std::string_view authorization,
                                    std::string_view x_api_key) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace stepstone
