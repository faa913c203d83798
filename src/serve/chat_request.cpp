#include "serve/chat_request.h"

#include "io/utf8.h"
#include "serve/api_error.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxMessages = 8192;

ApiError bad_part(const std::string& where, const std::string& why) {
  return ApiError(400, where + why, where);
}

// A string, or parts of type "text".
std::string content_of(const OrderedJson& message, const std::string& where) {
  const auto content = message.find("content");
  const bool calls = message.contains("tool_calls");
  if (content == message.end() || content->is_null()) {
    if (calls) return "";
    throw bad_part(where, ".content must be a string or an array of text parts");
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array())
    throw bad_part(where, ".content must be a string or an array of text parts");
  std::string text;
  for (const OrderedJson& part : *content) {
    if (!part.is_object() || part.value("type", OrderedJson()) != "text" ||
        !part.contains("text") || !part["text"].is_string()) {
      throw bad_part(where, ".content: only parts of type \"text\" are supported");
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

// "tool_calls" with arguments as objects, as templates expect them.
OrderedJson calls_of(const OrderedJson& message, const std::string& where) {
  OrderedJson calls = message["tool_calls"];
  if (!calls.is_array()) throw bad_part(where, ".tool_calls must be an array");
  for (OrderedJson& call : calls) {
    const bool shaped = call.is_object() && call.contains("function") &&
                        call["function"].is_object() && call["function"].contains("name") &&
                        call["function"]["name"].is_string() &&
                        call["function"].contains("arguments");
    if (!shaped)
      throw bad_part(where, ".tool_calls: each needs a function with name and arguments");
    OrderedJson& arguments = call["function"]["arguments"];
    if (arguments.is_string()) {
      const std::string text = arguments.get<std::string>();
      parse_json(text.empty() ? "{}" : text, where + ".tool_calls: arguments");  // its limits
      arguments = OrderedJson::parse(text.empty() ? "{}" : text);
    }
    if (!arguments.is_object())
      throw bad_part(where, ".tool_calls: arguments must be a JSON object");
  }
  return calls;
}

class MessageReader {
 public:
  explicit MessageReader(const ServedModel& model)
      : has_calls_(model.template_names("tool_calls")),
        has_tool_role_(model.template_names("'tool'") || model.template_names("\"tool\"")) {}

  OrderedJson read(const OrderedJson& given, const std::string& where) {
    if (!given.is_object()) throw bad_part(where, " must be an object");
    const OrderedJson named = given.value("role", OrderedJson());
    if (!named.is_string()) throw ApiError(400, where + ".role must be a string", "role");
    std::string role = named.get<std::string>();
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      throw bad_part(where, fmt::format(".role: \"{}\" is not system, user, assistant or tool",
                                        to_utf8_lossy(role)));
    }
    OrderedJson message = {{"role", role}, {"content", content_of(given, where)}};
    if (role == "assistant" && given.contains("tool_calls") && !given["tool_calls"].is_null()) {
      add_calls(calls_of(given, where), message);
    }
    if (role == "tool") add_result(given, message);
    return message;
  }

 private:
  void add_calls(OrderedJson calls, OrderedJson& message) {
    for (const OrderedJson& call : calls) {
      if (call.contains("id")) names_[call["id"].dump()] = call["function"]["name"];
    }
    if (has_calls_) {
      message["tool_calls"] = std::move(calls);
      return;
    }
    std::string text = message["content"];
    for (const OrderedJson& call : calls) {
      const OrderedJson& f = call["function"];
      if (!text.empty()) text += '\n';
      text += call_in_words(f["name"].get<std::string>(), f["arguments"]);
    }
    message["content"] = text;
  }

  // Some templates want the name of the function that answered.
  void add_result(const OrderedJson& given, OrderedJson& message) {
    const OrderedJson id = given.value("tool_call_id", OrderedJson());
    if (!has_tool_role_) {
      message["role"] = "user";
      message["content"] = fmt::format("<tool_response>\n{}\n</tool_response>",
                                       message["content"].get<std::string>());
      return;
    }
    if (!id.is_null()) message["tool_call_id"] = id;
    if (given.contains("name") && given["name"].is_string()) {
      message["name"] = given["name"];
    } else if (const auto name = names_.find(id.dump()); name != names_.end()) {
      message["name"] = name->second;
    }
  }

  bool has_calls_, has_tool_role_;
  std::map<std::string, OrderedJson> names_;  // of functions, by the call's id
};

void add_system(OrderedJson& messages, const std::string& words) {
  if (messages[0]["role"] == "system") {
    messages[0]["content"] = messages[0]["content"].get<std::string>() + "\n\n" + words;
  } else {
    messages.insert(messages.begin(), OrderedJson{{"role", "system"}, {"content", words}});
  }
}

}  // namespace

OrderedJson chat_messages(const RequestBody& body, const ToolUse& tools, const ServedModel& model) {
  const OrderedJson list = body.ordered("messages");
  if (!list.is_array() || list.empty() || list.size() > kMaxMessages) {
    throw ApiError(400, fmt::format("messages must be an array of 1 to {} messages", kMaxMessages),
                   "messages");
  }
  MessageReader reader(model);
  OrderedJson messages = OrderedJson::array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    messages.push_back(reader.read(list[i], fmt::format("messages[{}]", i)));
  }
  if (tools.offered() && !model.template_names("tools")) {
    add_system(messages, tools_in_words(tools.tools));
  }
  return messages;
}

ChatRequest chat_request(const RequestBody& body, const ServedModel& model) {
  ChatRequest request{chat_options(body, model), {}, tool_use(body, model.tool_style())};
  EngineRequest& r = request.options.request;
  ToolUse& tools = request.tools;
  if (tools.offered()) {
    if (tools.forced && r.grammar) {
      throw ApiError(400, "a call that must be made leaves no room for another form of the answer",
                     "tool_choice");
    }
    if (tools.forced) r.grammar = tools.grammar;
    for (const std::string_view marker :
         {kHermesOpen, kHermesClose, kLlamaTag, kMistralOpen, kMistralArguments}) {
      if (const auto id = model.tokenizer().special_id(marker)) r.shown_tokens.push_back(*id);
    }
  }
  ChatInput input{.messages = chat_messages(body, tools, model), .ask = true};
  if (tools.offered() && model.template_names("tools")) input.tools = tools.tools;
  const OrderedJson arguments = body.ordered("chat_template_kwargs");
  if (!arguments.is_null()) {
    try {
      check_template_arguments(arguments);
    } catch (const UsageError& e) {
      throw ApiError(400, e.what(), "chat_template_kwargs");
    }
    input.arguments = arguments;
  }
  request.prompt = model.chat_prompt(input);
  const auto opening = model.tokenizer().encode_with_specials(tools.opening);
  request.prompt.insert(request.prompt.end(), opening.begin(), opening.end());
  return request;
}

}  // namespace stepstone
