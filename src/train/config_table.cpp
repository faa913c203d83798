#include "train/config_table.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/suggest.h"
#include "io/file.h"

namespace stepstone {

struct ConfigTable::Impl {
  std::string name;
  toml::table table;
  std::set<std::string, std::less<>> asked, overridden;

  const toml::node* find(std::string_view key) {
    asked.emplace(key);
    return table.at_path(key).node();
  }

  template <typename... Args>
  [[noreturn]] void fail(std::string_view key, fmt::format_string<Args...> format, Args&&... args) {
    throw UsageError(
        fmt::format("{}: {}: {}", name, key, fmt::format(format, std::forward<Args>(args)...)));
  }
};

namespace {

std::string text_of(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

toml::table parse_toml(std::string_view text, std::string_view name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    throw FormatError(name, fmt::format("line {}", e.source().begin.line), e.description());
  }
}

// Returns the key.
std::string merge_override(toml::table& table, const std::string& text) {
  const auto equals = text.find('=');
  require<UsageError>(equals != std::string::npos && equals > 0,
                      "override \"{}\": expected key=value", text);
  const std::string key = text.substr(0, equals), value = text.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    parsed.insert("value", value);
  }
  toml::table* at = &table;
  std::size_t begin = 0;
  for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.', begin)) {
    const std::string part = key.substr(begin, dot - begin);
    auto [it, inserted] = at->insert(part, toml::table{});
    at = it->second.as_table();
    require<UsageError>(at != nullptr, "override \"{}\": {} is not a section", text, part);
    begin = dot + 1;
  }
  at->insert_or_assign(key.substr(begin), *parsed.get("value"));
  return key;
}

nlohmann::json json_of(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    auto object = nlohmann::json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = json_of(value);
    return object;
  }
  if (const auto* array = node.as_array()) {
    auto list = nlohmann::json::array();
    for (const auto& value : *array) list.push_back(json_of(value));
    return list;
  }
  if (const auto v = node.value_exact<std::int64_t>()) return *v;
  if (const auto v = node.value_exact<double>()) return *v;
  if (const auto v = node.value_exact<bool>()) return *v;
  if (const auto v = node.value_exact<std::string>()) return *v;
  return text_of(node);
}

void list_keys(const toml::table& table, const std::string& prefix, std::vector<std::string>& out) {
  for (const auto& [key, value] : table) {
    const std::string path = prefix + std::string(key.str());
    if (const auto* inner = value.as_table()) {
      list_keys(*inner, path + ".", out);
    } else {
      out.push_back(path);
    }
  }
}

}  // namespace

ConfigTable::ConfigTable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConfigTable::~ConfigTable() = default;
ConfigTable::ConfigTable(ConfigTable&&) noexcept = default;

ConfigTable ConfigTable::parse(std::string_view text, std::string_view name,
                               std::span<const std::string> overrides) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->table = parse_toml(text, name);
  for (const std::string& text_override : overrides) {
    const std::string key = merge_override(impl->table, text_override);
    require<UsageError>(impl->overridden.insert(key).second, "{}: given twice", key);
  }
  return ConfigTable(std::move(impl));
}

ConfigTable ConfigTable::load(const std::filesystem::path& file,
                              std::span<const std::string> overrides) {
  return parse(read_file(file), file.string(), overrides);
}

std::int64_t ConfigTable::integer(std::string_view key, std::int64_t otherwise, std::int64_t low,
                                  std::int64_t high) {
  const toml::node* node = impl_->find(key);
  if (!node) return otherwise;
  const auto value = node->value_exact<std::int64_t>();
  if (!value) impl_->fail(key, "expected an integer, got {}", text_of(*node));
  if (*value < low || *value > high) {
    impl_->fail(key, "expected {} to {}, got {}", low, high, *value);
  }
  return *value;
}

double ConfigTable::real(std::string_view key, double otherwise, double low, double high) {
  const toml::node* node = impl_->find(key);
  if (!node) return otherwise;
  const auto value = node->value<double>();
  if (!value || node->is_boolean()) impl_->fail(key, "expected a number, got {}", text_of(*node));
  if (!(*value >= low && *value <= high)) {
    impl_->fail(key, "expected {} to {}, got {}", low, high, *value);
  }
  return *value;
}

bool ConfigTable::boolean(std::string_view key, bool otherwise) {
  const toml::node* node = impl_->find(key);
  if (!node) return otherwise;
  const auto value = node->value_exact<bool>();
  if (!value) impl_->fail(key, "expected true or false, got {}", text_of(*node));
  return *value;
}

std::string ConfigTable::string(std::string_view key, std::string_view otherwise) {
  const toml::node* node = impl_->find(key);
  if (!node) return std::string(otherwise);
  const auto value = node->value_exact<std::string>();
  if (!value) impl_->fail(key, "expected a string, got {}", text_of(*node));
  return *value;
}

std::vector<std::string> ConfigTable::strings(std::string_view key) {
  const toml::node* node = impl_->find(key);
  std::vector<std::string> out;
  if (!node) return out;
  if (const auto one = node->value_exact<std::string>()) return {*one};
  const toml::array* array = node->as_array();
  if (!array) impl_->fail(key, "expected a string or an array of strings, got {}", text_of(*node));
  for (const auto& item : *array) {
    const auto value = item.value_exact<std::string>();
    if (!value) impl_->fail(key, "expected strings, got {}", text_of(item));
    out.push_back(*value);
  }
  return out;
}

std::vector<double> ConfigTable::reals(std::string_view key, bool positive) {
  const toml::node* node = impl_->find(key);
  std::vector<double> out;
  if (!node) return out;
  const toml::array* array = node->as_array();
  if (!array) impl_->fail(key, "expected an array of numbers, got {}", text_of(*node));
  for (const auto& item : *array) {
    const auto value = item.value<double>();
    if (!value || !std::isfinite(*value) || (positive && *value <= 0)) {
      impl_->fail(fmt::format("{}[{}]", key, out.size()), "expected a number{}, got {}",
                  positive ? " above 0" : "", text_of(item));
    }
    out.push_back(*value);
  }
  return out;
}

bool ConfigTable::has(std::string_view key) { return impl_->find(key) != nullptr; }

void ConfigTable::refuse_idle_override(std::string_view key, std::string_view why) const {
  require<UsageError>(!impl_->overridden.contains(key), "{}: has no effect: {}", key, why);
}

void ConfigTable::refuse_unknown() const {
  std::vector<std::string> keys;
  list_keys(impl_->table, "", keys);
  const std::vector<std::string> known(impl_->asked.begin(), impl_->asked.end());
  for (const std::string& key : keys) {
    if (impl_->asked.contains(key)) continue;
    throw UsageError(
        fmt::format("{}: unknown key {}{}", impl_->name, key, did_you_mean(key, known)));
  }
}

nlohmann::json ConfigTable::to_json() const { return json_of(impl_->table); }

}  // namespace stepstone
