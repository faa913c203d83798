// The part of an address behind its question mark.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stepstone {

// The value of `name` in "a=1&b=x%20y", decoded; empty where it is absent. Throws ApiError 400 for
// an escape that is none and for what is not UTF-8.
std::string query_value(std::string_view query, std::string_view name);
// The same as an integer within [low, high], else ApiError 400.
std::int64_t query_integer(std::string_view query, const std::string& name, std::int64_t fallback,
                           std::int64_t low, std::int64_t high);

}  // namespace stepstone
