// What the fields of a request mean, each checked: ApiError or FormatError name the one at fault.
#pragma once

#include <string_view>
#include <vector>

#include "infer/engine.h"
#include "io/json.h"
#include "serve/served_model.h"

namespace stepstone {

// For messages about fields.
inline constexpr std::string_view kRequest = "request";

using OrderedJson = nlohmann::ordered_json;

// A request's body, a JSON object. Its text is kept for the fields in which the order of members
// counts.
struct RequestBody {
  std::string_view text;
  Json json;

  // A field with its members in their order; null when absent.
  OrderedJson ordered(std::string_view field) const;
};
RequestBody parse_body(std::string_view text);

// True for a field that is there and not null.
bool given(const Json& body, std::string_view field);
std::int64_t integer(const Json& body, std::string_view field, std::int64_t fallback,
                     std::int64_t low, std::int64_t high);

// Texts that the model writes: everything but the prompts.
struct TextOptions {
  EngineRequest request;  // sampling, stops, choices, log-probabilities; max_tokens -1: not given
  bool stream = false;
  bool include_usage = false;
  bool echo = false;
};
TextOptions chat_options(const RequestBody& body, const ServedModel& model);
TextOptions completion_options(const RequestBody& body, const ServedModel& model);

// A string, a list of strings, a list of token ids, or a list of such lists.
std::vector<std::vector<std::int32_t>> prompts(const Json& body, std::string_view field,
                                               const Tokenizer& tokenizer);
// The request with its prompt; sets the default of max_tokens (-1) to what fits, and refuses what
// does not.
EngineRequest with_prompt(EngineRequest request, std::vector<std::int32_t> prompt,
                          std::int64_t context);

}  // namespace stepstone
