// "tools" and "tool_choice" of a request.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "serve/request_fields.h"
#include "serve/tool_style.h"

namespace stepstone {

struct ToolUse {
  OrderedJson tools = nullptr;  // for the template; null when none is offered
  ToolStyle style = ToolStyle::hermes;
  std::vector<std::string> names = {};
  std::size_t max_calls = 128;
  // A call is asked for: what opens one, which the answer then begins with, and its grammar.
  bool forced = false;
  std::string opening = {};
  std::shared_ptr<const Grammar> grammar = nullptr;

  bool offered() const { return !tools.is_null(); }
};

// Throws ApiError naming the field.
ToolUse tool_use(const RequestBody& body, ToolStyle style);

// A system message that explains the tools to a model whose template has no place for them.
std::string tools_in_words(const OrderedJson& tools);
// A call as the hermes style writes it.
std::string call_in_words(const std::string& name, const OrderedJson& arguments);

}  // namespace stepstone
