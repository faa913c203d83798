#include "serve/tool_use.h"

#include <algorithm>
#include <set>

#include "io/utf8.h"
#include "serve/api_error.h"
#include "serve/output_form.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxTools = 128;

struct Function {
  std::string name;
  OrderedJson parameters;  // a JSON Schema
  bool strict = false;
};

ApiError bad_tools(const std::string& why) { return ApiError(400, "tools" + why, "tools"); }

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == '.';
  });
}

std::vector<Function> functions_of(const OrderedJson& tools) {
  if (!tools.is_array()) throw bad_tools(" must be an array");
  if (tools.size() > kMaxTools) throw bad_tools(fmt::format(": more than {}", kMaxTools));
  std::vector<Function> functions;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string where = fmt::format("[{}]", i);
    const OrderedJson& tool = tools[i];
    if (!tool.is_object() || tool.value("type", OrderedJson()) != "function" ||
        !tool.contains("function") || !tool["function"].is_object()) {
      throw bad_tools(where + " must be {\"type\": \"function\", \"function\": {…}}");
    }
    const OrderedJson& f = tool["function"];
    const OrderedJson name = f.value("name", OrderedJson());
    if (!name.is_string() || !is_name(name.get<std::string>())) {
      throw bad_tools(where + ".function.name must be 1 to 64 letters, digits, _, - or .");
    }
    Function made{name.get<std::string>(), f.value("parameters", OrderedJson())};
    if (made.parameters.is_null()) {
      made.parameters = {{"type", "object"}, {"additionalProperties", false}};
    }
    if (!made.parameters.is_object()) {
      throw bad_tools(where + ".function.parameters must be a JSON Schema, an object");
    }
    made.strict = f.value("strict", OrderedJson()) == true;
    if (!seen.insert(made.name).second) throw bad_tools(where + ": the name is taken");
    functions.push_back(std::move(made));
  }
  return functions;
}

// References of a schema point into its own document; here it becomes a part of another.
void move_references(OrderedJson& schema, const std::string& to) {
  if (schema.is_array()) {
    for (OrderedJson& item : schema) move_references(item, to);
  }
  if (!schema.is_object()) return;
  for (auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && value.get<std::string>().starts_with('#')) {
      value = "#" + to + value.get<std::string>().substr(1);
    } else {
      move_references(value, to);
    }
  }
}

// One call of one of the functions.
OrderedJson call_schema(const std::vector<Function>& functions, ToolStyle style,
                        const std::string& place) {
  const char* arguments = style == ToolStyle::llama3 ? "parameters" : "arguments";
  OrderedJson any = OrderedJson::array();
  for (const Function& f : functions) {
    OrderedJson parameters = f.parameters;
    move_references(parameters,
                    fmt::format("{}/anyOf/{}/properties/{}", place, any.size(), arguments));
    any.push_back({{"type", "object"},
                   {"properties", {{"name", {{"const", f.name}}}, {arguments, parameters}}},
                   {"required", {"name", arguments}}});
  }
  return {{"anyOf", any}};
}

std::shared_ptr<const Grammar> call_grammar(std::vector<Function> functions, ToolStyle style,
                                            bool parallel) {
  // A schema beyond what a grammar can say asks for some object, unless it is meant strictly.
  for (Function& f : functions) {
    try {
      schema_grammar(f.parameters);
    } catch (const Error& e) {
      if (f.strict) throw bad_tools(fmt::format(": {}: {}", f.name, e.what()));
      f.parameters = {{"type", "object"}};
    }
  }
  try {
    if (style != ToolStyle::mistral) return schema_grammar(call_schema(functions, style, ""));
    return schema_grammar({{"type", "array"},
                           {"items", call_schema(functions, style, "/items")},
                           {"minItems", 1},
                           {"maxItems", parallel ? 16 : 1}});
  } catch (const Error& e) {
    throw bad_tools(fmt::format(": {}", e.what()));
  }
}

// Of "tool_choice": the functions that must be called; empty: none must be.
std::vector<Function> forced_functions(const OrderedJson& choice,
                                       const std::vector<Function>& functions) {
  const auto bad = [](const std::string& why) {
    return ApiError(400, "tool_choice: " + why, "tool_choice");
  };
  if (choice.is_null() || choice == "auto" || choice == "none") return {};
  if (choice == "required") {
    if (functions.empty()) throw bad("there are no tools to choose from");
    return functions;
  }
  const auto named = choice.is_object() ? choice.find("function") : choice.end();
  if (!choice.is_object() || choice.value("type", OrderedJson()) != "function" ||
      named == choice.end() || !named->is_object() || !named->contains("name")) {
    throw bad(
        "expected none, auto, required or {\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  for (const Function& f : functions) {
    if ((*named)["name"] == f.name) return {f};
  }
  throw bad("none of the tools has this name");
}

}  // namespace

ToolUse tool_use(const RequestBody& body, ToolStyle style) {
  ToolUse use;
  use.style = style;
  const OrderedJson tools = body.ordered("tools");
  std::vector<Function> functions;
  if (!tools.is_null()) functions = functions_of(tools);
  const OrderedJson choice = body.ordered("tool_choice");
  const auto forced = forced_functions(choice, functions);
  if (functions.empty() || choice == "none") return use;
  use.tools = tools;
  for (const Function& f : functions) use.names.push_back(f.name);
  const bool parallel = get_or<bool>(body.json, "parallel_tool_calls", kRequest, true);
  if (!parallel) use.max_calls = 1;
  if (forced.empty()) return use;
  use.forced = true;
  if (style == ToolStyle::hermes) use.opening = std::string(kHermesOpen) + "\n";
  if (style == ToolStyle::mistral) use.opening = kMistralOpen;
  use.grammar = call_grammar(forced, style, parallel);
  return use;
}

std::string tools_in_words(const OrderedJson& tools) {
  std::string text = "You can call these functions, each described by a line of JSON:\n";
  for (const OrderedJson& tool : tools) text += tool["function"].dump() + "\n";
  return text + "To call one, answer with\n" + call_in_words("NAME", OrderedJson::object()) +
         "\nand its arguments as a JSON object. What it returns comes next.";
}

std::string call_in_words(const std::string& name, const OrderedJson& arguments) {
  const OrderedJson call = {{"name", name}, {"arguments", arguments}};
  return fmt::format("{}\n{}\n{}", kHermesOpen, call.dump(), kHermesClose);
}

}  // namespace stepstone
