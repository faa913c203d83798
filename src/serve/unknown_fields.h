#pragma once

#include <string_view>

#include "io/json.h"

namespace stepstone {

// Fields of a request to `path` that nothing here reads, and that no OpenAI or Anthropic client
// sends as a matter of course. A slip ("max_token") is among them as is a field of another server.
std::vector<std::string> unknown_fields(std::string_view path, const Json& body);

// Says each of them once on standard error, as vLLM does; the request is answered without them.
void warn_of_unknown_fields(std::string_view path, const Json& body);

}  // namespace stepstone
