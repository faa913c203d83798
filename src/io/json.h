// JSON with limits: what nlohmann-json leaves to its caller.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"

namespace stepstone {

using Json = nlohmann::json;

struct JsonLimits {
  std::uint64_t max_bytes = std::uint64_t{256} << 20;
  // Values of any kind; bounds the memory of the parsed document (about 16 bytes each, and the
  // text of strings).
  std::uint64_t max_values = std::uint64_t{16} << 20;
  int max_depth = 64;
  std::uint64_t first_byte = 0;  // where the text begins in its file, for messages
};

// Parses one document. Refused, with FormatError(file, path of the field, …, offset): more than
// the limits, duplicate keys, invalid UTF-8 and lone surrogates, numbers beyond double, anything
// after the document, NUL bytes, comments. Needs no stack in proportion to the input.
Json parse_json(std::string_view text, std::string_view file, const JsonLimits& limits = {});
// The same for a file. Also throws IoError.
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

// The text of `value`; `indent` < 0 gives one line. Throws UsageError for a value deeper than
// JsonLimits::max_depth (the dump recurses) or with strings that are not UTF-8.
std::string dump_json(const Json& value, int indent = -1);

// The number that is written with as few digits as a float needs: 1e-06, not 9.99999997475e-07.
double shortest_decimal(float value);

// The member of `object` that `field` names: a key, or a JSON pointer (RFC 6901) when it begins
// with '/', as in "/model/vocab". Null when absent.
const Json* find_field(const Json& object, std::string_view field);

namespace json_detail {

[[noreturn]] void wrong_type(const Json& value, std::string_view expected, std::string_view file,
                             std::string_view field);
[[noreturn]] void out_of_range(const Json& value, std::string_view file, std::string_view field);

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <std::integral T>
T convert_integer(const Json& value, std::string_view file, std::string_view field) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (!std::in_range<T>(number)) out_of_range(value, file, field);
    return static_cast<T>(number);
  }
  if (!value.is_number_integer()) wrong_type(value, "an integer", file, field);
  const auto number = value.get<std::int64_t>();
  if (!std::in_range<T>(number)) out_of_range(value, file, field);
  return static_cast<T>(number);
}

template <typename T>
T convert(const Json& value, std::string_view file, std::string_view field) {
  if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) wrong_type(value, "true or false", file, field);
    return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    return convert_integer<T>(value, file, field);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) wrong_type(value, "a number", file, field);
    const double number = value.get<double>();
    if (number > static_cast<double>(std::numeric_limits<T>::max()) ||
        number < static_cast<double>(std::numeric_limits<T>::lowest())) {
      out_of_range(value, file, field);
    }
    return static_cast<T>(number);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) wrong_type(value, "a string", file, field);
    return value.get_ref<const std::string&>();
  } else {
    static_assert(IsVector<T>::value, "no JSON conversion for this type");
    if (!value.is_array()) wrong_type(value, "an array", file, field);
    T values;
    values.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
      values.push_back(
          convert<typename T::value_type>(value[i], file, fmt::format("{}[{}]", field, i)));
    }
    return values;
  }
}

}  // namespace json_detail

// The field as a T: bool, any integer (range-checked; 1.0 is not an integer), float or double
// (integers accepted), std::string, Json, or a std::vector of these. Absent, of another type or out
// of range: FormatError(file, field).
template <typename T>
T get(const Json& object, std::string_view field, std::string_view file) {
  const Json* value = find_field(object, field);
  if (value == nullptr) throw FormatError(file, field, "missing");
  return json_detail::convert<T>(*value, file, field);
}

// The same, with `fallback` for an absent or null field.
template <typename T>
T get_or(const Json& object, std::string_view field, std::string_view file, T fallback) {
  const Json* value = find_field(object, field);
  if (value == nullptr || value->is_null()) return fallback;
  return json_detail::convert<T>(*value, file, field);
}

}  // namespace stepstone
