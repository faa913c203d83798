// Members of JSON objects in requests; what is missing or of another type is an ApiError 400 naming
// its place.
#pragma once

#include "serve/api_error.h"

namespace stepstone {

[[noreturn]] inline void bad_member(const std::string& where, std::string_view why) {
  throw ApiError(400, fmt::format("{}: {}", where, why), where);
}

inline const OrderedJson& member(const OrderedJson& object, const char* name,
                                 const std::string& where) {
  if (!object.is_object() || !object.contains(name)) {
    bad_member(where, fmt::format("\"{}\" is missing", name));
  }
  return object[name];
}

inline std::string string_member(const OrderedJson& object, const char* name,
                                 const std::string& where) {
  const OrderedJson& value = member(object, name, where);
  if (!value.is_string()) bad_member(where, fmt::format("\"{}\" must be a string", name));
  return value.get<std::string>();
}

}  // namespace stepstone
