#include "serve/messages_api.h"

#include "io/utf8.h"
#include "serve/json_members.h"

namespace stepstone {
namespace {

// A string, or blocks of type "text".
std::string text_of_blocks(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) bad_member(where, "expected a string or an array of blocks");
  std::string text;
  for (const OrderedJson& block : content) {
    if (string_member(block, "type", where) != "text") bad_member(where, "only text is supported");
    text += string_member(block, "text", where);
  }
  return text;
}

// One message may become several: each result of a tool is a message of its own.
void add_message(const OrderedJson& message, const std::string& where, OrderedJson& out) {
  const std::string role = string_member(message, "role", where);
  if (role != "user" && role != "assistant")
    bad_member(where, "the role must be user or assistant");
  const OrderedJson& content = member(message, "content", where);
  if (content.is_string()) {
    out.push_back({{"role", role}, {"content", content}});
    return;
  }
  if (!content.is_array()) bad_member(where, "content must be a string or an array of blocks");
  std::string text;
  OrderedJson calls = OrderedJson::array();
  bool results = false;
  for (const OrderedJson& block : content) {
    const std::string type = string_member(block, "type", where);
    if (type == "text") {
      text += string_member(block, "text", where);
    } else if (type == "tool_use" && role == "assistant") {
      calls.push_back({{"id", string_member(block, "id", where)},
                       {"type", "function"},
                       {"function",
                        {{"name", string_member(block, "name", where)},
                         {"arguments", member(block, "input", where)}}}});
    } else if (type == "tool_result" && role == "user") {
      results = true;
      out.push_back({{"role", "tool"},
                     {"tool_call_id", string_member(block, "tool_use_id", where)},
                     {"content", text_of_blocks(block.value("content", OrderedJson("")), where)}});
    } else if (type != "thinking" && type != "redacted_thinking") {
      bad_member(where,
                 fmt::format("blocks of type \"{}\" are not supported here", to_utf8_lossy(type)));
    }
  }
  if (results && text.empty()) return;
  OrderedJson made = {{"role", role}, {"content", text}};
  if (!calls.empty()) made["tool_calls"] = std::move(calls);
  out.push_back(std::move(made));
}

OrderedJson tools_of_messages(const OrderedJson& tools) {
  if (!tools.is_array()) bad_member("tools", "expected an array");
  OrderedJson out = OrderedJson::array();
  for (const OrderedJson& tool : tools) {
    OrderedJson function = {{"name", string_member(tool, "name", "tools")}};
    if (tool.contains("description")) function["description"] = tool["description"];
    function["parameters"] = member(tool, "input_schema", "tools");
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

void set_tool_choice(const OrderedJson& choice, OrderedJson& chat) {
  const std::string type = string_member(choice, "type", "tool_choice");
  if (type == "any") {
    chat["tool_choice"] = "required";
  } else if (type == "tool") {
    chat["tool_choice"] = {{"type", "function"},
                           {"function", {{"name", string_member(choice, "name", "tool_choice")}}}};
  } else {
    chat["tool_choice"] = type;  // auto, none
  }
  if (choice.contains("disable_parallel_tool_use")) {
    chat["parallel_tool_calls"] = choice["disable_parallel_tool_use"] != true;
  }
}

}  // namespace

std::string chat_of_messages(const RequestBody& body, bool needs_max_tokens) {
  const OrderedJson given = OrderedJson::parse(body.text);
  OrderedJson chat = OrderedJson::object();
  for (const char* same : {"model", "max_tokens", "temperature", "top_p", "top_k", "stream", "seed",
                           "min_p", "chat_template_kwargs"}) {
    if (given.contains(same)) chat[same] = given[same];
  }
  if (needs_max_tokens) integer(body.json, "max_tokens", 0, 1, std::int64_t{1} << 40);
  if (needs_max_tokens && !chat.contains("max_tokens")) bad_member("max_tokens", "is required");
  OrderedJson& messages = chat["messages"] = OrderedJson::array();
  if (given.contains("system") && !given["system"].is_null()) {
    messages.push_back(
        {{"role", "system"}, {"content", text_of_blocks(given["system"], "system")}});
  }
  const OrderedJson& list = member(given, "messages", "messages");
  if (!list.is_array() || list.empty()) bad_member("messages", "expected an array of messages");
  for (std::size_t i = 0; i < list.size(); ++i) {
    add_message(list[i], fmt::format("messages[{}]", i), messages);
  }
  if (given.contains("stop_sequences")) chat["stop"] = given["stop_sequences"];
  if (given.contains("tools")) chat["tools"] = tools_of_messages(given["tools"]);
  if (given.contains("tool_choice")) set_tool_choice(given["tool_choice"], chat);
  return chat.dump();
}

Json messages_error(const ApiError& error) {
  const int status = error.status();
  const char* type = status == 401   ? "authentication_error"
                     : status == 403 ? "permission_error"
                     : status == 404 ? "not_found_error"
                     : status == 413 ? "request_too_large"
                     : status == 429 ? "rate_limit_error"
                     : status == 503 ? "overloaded_error"
                     : status < 500  ? "invalid_request_error"
                                     : "api_error";
  return {{"type", "error"}, {"error", {{"type", type}, {"message", to_utf8_lossy(error.what())}}}};
}

namespace {

// Of the whole message so far, in a stream too.
Json messages_usage(const EngineUsage& u) {
  return {{"input_tokens", u.prompt_tokens - u.cached_tokens},
          {"cache_read_input_tokens", u.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"output_tokens", u.completion_tokens}};
}

}  // namespace

Json MessagesExchange::frame(Json content) const {
  return {{"id", id_},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model().name()},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

Json MessagesExchange::stop() const {
  const Reply& reply = reply_of(0);
  Json json = {{"stop_reason", "end_turn"}, {"stop_sequence", nullptr}};
  if (reply.called()) {
    json["stop_reason"] = "tool_use";
  } else if (reply.finish == FinishReason::stop_string) {
    json = {{"stop_reason", "stop_sequence"}, {"stop_sequence", reply.stopped_by}};
  } else if (api_name(reply.finish) == "length") {
    json["stop_reason"] = "max_tokens";
  }
  return json;
}

Json MessagesExchange::whole() {
  const Reply& reply = reply_of(0);
  Json content = Json::array();
  if (!reply.text.empty()) content.push_back({{"type", "text"}, {"text", reply.text}});
  for (const ToolCall& call : reply.calls) {
    Json input = Json::parse(call.arguments, nullptr, false);
    if (!input.is_object()) input = Json::object();  // cut short
    content.push_back(
        {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", std::move(input)}});
  }
  Json json = frame(std::move(content));
  json.update(stop());
  json["usage"] = messages_usage(usage());
  return json;
}

void MessagesExchange::open_block(Json block) {
  close_block();
  open_ = true;
  open_text_ = block["type"] == "text";
  ++block_;
  send_event({{"type", "content_block_start"}, {"index", block_}, {"content_block", block}},
             "content_block_start");
}

void MessagesExchange::close_block() {
  if (!std::exchange(open_, false)) return;
  send_event({{"type", "content_block_stop"}, {"index", block_}}, "content_block_stop");
}

void MessagesExchange::send_delta(Json delta) {
  send_event({{"type", "content_block_delta"}, {"index", block_}, {"delta", std::move(delta)}},
             "content_block_delta");
}

void MessagesExchange::take_reply(std::size_t, const ReplyPart& part) {
  if (part.first) {
    Json message = frame(Json::array());
    // What was in the cache is known at the end: message_delta corrects it.
    EngineUsage read;
    read.prompt_tokens = std::ssize(prompts()[0]);
    message["usage"] = messages_usage(read);
    send_event({{"type", "message_start"}, {"message", std::move(message)}}, "message_start");
  }
  if (!part.text.empty()) {
    if (!open_ || !open_text_) open_block({{"type", "text"}, {"text", ""}});
    send_delta({{"type", "text_delta"}, {"text", part.text}});
  }
  for (const CallDelta& piece : part.calls) {
    const ToolCall& call = reply_of(0).calls[piece.call];
    if (piece.first) {
      open_block(
          {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
    }
    if (piece.arguments.empty()) continue;
    send_delta({{"type", "input_json_delta"}, {"partial_json", piece.arguments}});
  }
}

void MessagesExchange::end_stream() {
  close_block();
  send_event({{"type", "message_delta"}, {"delta", stop()}, {"usage", messages_usage(usage())}},
             "message_delta");
  send_event({{"type", "message_stop"}}, "message_stop");
}

}  // namespace stepstone
