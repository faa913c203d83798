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

// The body as a JSON object.
Json parse_body(std::string_view body);

// Texts that the model writes: everything but the prompts.
struct TextOptions {
  EngineRequest request;  // sampling, stops, choices, log-probabilities; max_tokens -1: not given
  bool stream = false;
  bool include_usage = false;
  bool echo = false;
};
TextOptions chat_options(const Json& body, const ServedModel& model);
TextOptions completion_options(const Json& body, const ServedModel& model);

std::vector<Message> chat_messages(const Json& body);
// A string, a list of strings, a list of token ids, or a list of such lists.
std::vector<std::vector<std::int32_t>> prompts(const Json& body, std::string_view field,
                                               const Tokenizer& tokenizer);
// 404 unless the field "model" names this model or is absent.
void check_model(const Json& body, const ServedModel& model);
// The request with its prompt; sets the default of max_tokens (-1) to what fits, and refuses what
// does not.
EngineRequest with_prompt(EngineRequest request, std::vector<std::int32_t> prompt,
                          std::int64_t context);

}  // namespace stepstone
