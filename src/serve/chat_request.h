// A chat as it is asked for: messages and tools, made ready for the model's template.
#pragma once

#include "serve/request_fields.h"
#include "serve/served_model.h"
#include "serve/tool_use.h"

namespace stepstone {

struct ChatRequest {
  TextOptions options;
  std::vector<std::int32_t> prompt;
  ToolUse tools;
};
ChatRequest chat_request(const RequestBody& body, const ServedModel& model);

// "messages" as templates take them: content as text, arguments of calls as objects. What the
// template has no place for (tools, calls, results) is said in words. Throws ApiError naming the
// message.
OrderedJson chat_messages(const RequestBody& body, const ToolUse& tools, const ServedModel& model);

}  // namespace stepstone
