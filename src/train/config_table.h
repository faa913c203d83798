// A recipe file with its overrides, read key by key: every key must be known and of its type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

class ConfigTable {
 public:
  // Reads TOML; each override is "section.key=value", its value TOML or a bare string. Throws
  // FormatError with the line for bad TOML, UsageError for a bad override and for a key given
  // twice.
  static ConfigTable load(const std::filesystem::path& file,
                          std::span<const std::string> overrides);
  static ConfigTable parse(std::string_view text, std::string_view name,
                           std::span<const std::string> overrides);
  ~ConfigTable();
  ConfigTable(ConfigTable&&) noexcept;

  // The value of "section.key", or the default. Throws UsageError on a wrong type or range.
  std::int64_t integer(std::string_view key, std::int64_t otherwise, std::int64_t low,
                       std::int64_t high);
  double real(std::string_view key, double otherwise, double low, double high);
  bool boolean(std::string_view key, bool otherwise);
  std::string string(std::string_view key, std::string_view otherwise);
  std::vector<std::string> strings(std::string_view key);  // an array, or one string
  // An array; with `positive` of numbers above 0.
  std::vector<double> reals(std::string_view key, bool positive = false);
  bool has(std::string_view key);
  // Throws UsageError when an override sets `key`, which has no effect, for the reason `why`.
  void refuse_idle_override(std::string_view key, std::string_view why) const;

  // Throws UsageError for the first key that nothing has asked for, with a suggestion.
  void refuse_unknown() const;
  // The whole table, overrides included.
  nlohmann::json to_json() const;

 private:
  struct Impl;
  explicit ConfigTable(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stepstone
