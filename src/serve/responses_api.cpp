#include "serve/responses_api.h"

#include "io/utf8.h"
#include "serve/json_members.h"

namespace stepstone {
namespace {

std::string text_of_parts(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) bad_member(where, "content must be a string or an array of parts");
  std::string text;
  for (const OrderedJson& part : content) {
    const std::string type = string_member(part, "type", where);
    if (type != "input_text" && type != "output_text" && type != "text") {
      bad_member(where, fmt::format("parts of type \"{}\" are not supported", to_utf8_lossy(type)));
    }
    text += string_member(part, "text", where);
  }
  return text;
}

void add_item(const OrderedJson& item, const std::string& where, OrderedJson& messages) {
  if (!item.is_object()) bad_member(where, "expected an object");
  const std::string type = item.contains("type") ? string_member(item, "type", where) : "message";
  if (type == "message") {
    if (!item.contains("content")) bad_member(where, "\"content\" is missing");
    messages.push_back({{"role", string_member(item, "role", where)},
                        {"content", text_of_parts(item["content"], where)}});
  } else if (type == "function_call") {
    const OrderedJson call = {{"id", string_member(item, "call_id", where)},
                              {"type", "function"},
                              {"function",
                               {{"name", string_member(item, "name", where)},
                                {"arguments", string_member(item, "arguments", where)}}}};
    // Calls follow the text of their message, and each other.
    if (messages.empty() || messages.back()["role"] != "assistant") {
      messages.push_back({{"role", "assistant"}, {"content", ""}});
    }
    messages.back()["tool_calls"].push_back(call);
  } else if (type == "function_call_output") {
    if (!item.contains("output")) bad_member(where, "\"output\" is missing");
    messages.push_back({{"role", "tool"},
                        {"tool_call_id", string_member(item, "call_id", where)},
                        {"content", text_of_parts(item["output"], where)}});
  } else if (type != "reasoning") {
    bad_member(where, fmt::format("items of type \"{}\" are not supported", to_utf8_lossy(type)));
  }
}

OrderedJson tools_of(const OrderedJson& tools) {
  if (!tools.is_array()) bad_member("tools", "expected an array");
  OrderedJson out = OrderedJson::array();
  for (const OrderedJson& tool : tools) {
    if (string_member(tool, "type", "tools") != "function") {
      bad_member("tools", "only functions are supported");
    }
    OrderedJson function = OrderedJson::object();
    for (const char* same : {"name", "description", "parameters", "strict"}) {
      if (tool.contains(same) && !tool[same].is_null()) function[same] = tool[same];
    }
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

// {"format": {"type": "json_schema", "name", "schema", "strict"}}
OrderedJson form_of(const OrderedJson& text) {
  if (!text.is_object()) bad_member("text", "expected an object");
  if (!text.contains("format")) return nullptr;
  OrderedJson format = text["format"];
  if (format.is_object() && format.value("type", OrderedJson()) == "json_schema") {
    return {{"type", "json_schema"}, {"json_schema", format}};
  }
  return format;
}

}  // namespace

std::string chat_of_responses(const RequestBody& body) {
  const OrderedJson given = OrderedJson::parse(body.text);
  const auto has = [&](const char* name) { return stepstone::given(body.json, name); };
  for (const char* not_kept : {"previous_response_id", "conversation", "prompt"}) {
    if (has(not_kept)) bad_member(not_kept, "nothing is stored here: send the whole conversation");
  }
  if (get_or<bool>(body.json, "background", kRequest, false))
    bad_member("background", "is not supported");
  OrderedJson chat = OrderedJson::object();
  for (const char* same : {"model", "temperature", "top_p", "top_k", "min_p", "seed", "stream",
                           "parallel_tool_calls", "chat_template_kwargs"}) {
    if (has(same)) chat[same] = given[same];
  }
  if (has("max_output_tokens")) {
    integer(body.json, "max_output_tokens", 0, 1, std::int64_t{1} << 40);
    chat["max_tokens"] = given["max_output_tokens"];
  }
  OrderedJson& messages = chat["messages"] = OrderedJson::array();
  if (has("instructions")) {
    messages.push_back(
        {{"role", "system"}, {"content", string_member(given, "instructions", "instructions")}});
  }
  if (!has("input")) bad_member("input", "is missing");
  const OrderedJson& input = given["input"];
  if (input.is_string()) {
    messages.push_back({{"role", "user"}, {"content", input}});
  } else if (input.is_array()) {
    for (std::size_t i = 0; i < input.size(); ++i) {
      add_item(input[i], fmt::format("input[{}]", i), messages);
    }
  } else {
    bad_member("input", "expected a string or an array of items");
  }
  if (has("text")) chat["response_format"] = form_of(given["text"]);
  if (has("tools")) chat["tools"] = tools_of(given["tools"]);
  if (has("tool_choice")) {
    const OrderedJson& choice = given["tool_choice"];
    chat["tool_choice"] = choice;
    if (choice.is_object()) {
      chat["tool_choice"] = {{"type", choice.value("type", OrderedJson())},
                             {"function", {{"name", choice.value("name", OrderedJson())}}}};
    }
  }
  return chat.dump();
}

ResponsesExchange::ResponsesExchange(ServedModel& model, std::shared_ptr<HttpReply> reply,
                                     ChatRequest request, const Json& body)
    : ReplyExchange(model, std::move(reply), std::move(request)), request_(body) {}

std::string_view ResponsesExchange::status() const {
  return api_name(reply_of(0).finish) == "length" ? "incomplete" : "completed";
}

Json ResponsesExchange::response(std::string_view status, Json output) const {
  const auto repeated = [&](const char* name, Json fallback) {
    return given(request_, name) ? request_[name] : std::move(fallback);
  };
  Json json = {{"id", id_},
               {"object", "response"},
               {"created_at", created()},
               {"status", status},
               {"model", model().name()},
               {"output", std::move(output)},
               {"error", nullptr},
               {"incomplete_details", nullptr},
               {"instructions", repeated("instructions", nullptr)},
               {"max_output_tokens", repeated("max_output_tokens", nullptr)},
               {"metadata", repeated("metadata", Json::object())},
               {"parallel_tool_calls", repeated("parallel_tool_calls", true)},
               {"previous_response_id", nullptr},
               {"store", false},
               {"temperature", options().request.sampling.temperature},
               {"top_p", options().request.sampling.top_p},
               {"text", repeated("text", {{"format", {{"type", "text"}}}})},
               {"tool_choice", repeated("tool_choice", "auto")},
               {"tools", repeated("tools", Json::array())},
               {"truncation", "disabled"},
               {"usage", nullptr}};
  if (status == "in_progress") return json;
  if (status == "incomplete") json["incomplete_details"] = {{"reason", "max_output_tokens"}};
  const EngineUsage u = usage();
  json["usage"] = {{"input_tokens", u.prompt_tokens},
                   {"input_tokens_details", {{"cached_tokens", u.cached_tokens}}},
                   {"output_tokens", u.completion_tokens},
                   {"output_tokens_details", {{"reasoning_tokens", 0}}},
                   {"total_tokens", u.prompt_tokens + u.completion_tokens}};
  return json;
}

Json ResponsesExchange::part_json(const Item& item) const {
  return {{"type", "output_text"},
          {"text", item.text},
          {"annotations", Json::array()},
          {"logprobs", Json::array()}};
}

Json ResponsesExchange::item_json(const Item& item, std::string_view status) const {
  if (item.is_text) {
    Json content = Json::array();
    if (status != "in_progress") content.push_back(part_json(item));
    return {{"type", "message"},
            {"id", item.id},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }
  const ToolCall& call = reply_of(0).calls[item.call];
  return {{"type", "function_call"}, {"id", item.id},     {"status", status},
          {"call_id", call.id},      {"name", call.name}, {"arguments", item.text}};
}

Json ResponsesExchange::output() const {
  Json list = Json::array();
  for (const Item& item : items_) list.push_back(item_json(item, status()));
  return list;
}

Json ResponsesExchange::whole() {
  const Reply& reply = reply_of(0);
  if (!reply.text.empty() || reply.calls.empty()) {
    items_.push_back({random_id("msg_"), true, false, 0, reply.text});
  }
  for (std::size_t i = 0; i < reply.calls.size(); ++i) {
    items_.push_back({random_id("fc_"), false, false, i, reply.calls[i].arguments});
  }
  return response(status(), output());
}

void ResponsesExchange::send(std::string_view type, Json fields) {
  fields["type"] = type;
  fields["sequence_number"] = events_++;
  send_event(fields, type);
}

ResponsesExchange::Item& ResponsesExchange::open_item(Item item) {
  close_item();
  item.open = true;
  items_.push_back(std::move(item));
  const std::size_t index = items_.size() - 1;
  send("response.output_item.added",
       {{"output_index", index}, {"item", item_json(items_.back(), "in_progress")}});
  if (items_.back().is_text) {
    send("response.content_part.added", {{"item_id", items_.back().id},
                                         {"output_index", index},
                                         {"content_index", 0},
                                         {"part", part_json(items_.back())}});
  }
  return items_.back();
}

void ResponsesExchange::close_item() {
  if (items_.empty() || !std::exchange(items_.back().open, false)) return;
  const Item& item = items_.back();
  const Json at = {{"item_id", item.id}, {"output_index", items_.size() - 1}};
  const auto with = [&](Json more) {
    more.update(at);
    return more;
  };
  if (item.is_text) {
    send("response.output_text.done",
         with({{"content_index", 0}, {"text", item.text}, {"logprobs", Json::array()}}));
    send("response.content_part.done", with({{"content_index", 0}, {"part", part_json(item)}}));
  } else {
    send("response.function_call_arguments.done",
         with({{"arguments", item.text}, {"name", reply_of(0).calls[item.call].name}}));
  }
  send("response.output_item.done",
       {{"output_index", items_.size() - 1}, {"item", item_json(item, "completed")}});
}

void ResponsesExchange::take_reply(std::size_t, const ReplyPart& part) {
  if (part.first) {
    send("response.created", {{"response", response("in_progress", Json::array())}});
    send("response.in_progress", {{"response", response("in_progress", Json::array())}});
  }
  const auto open = [&] { return !items_.empty() && items_.back().open; };
  if (!part.text.empty()) {
    if (!open() || !items_.back().is_text) open_item({random_id("msg_"), true});
    items_.back().text += part.text;
    send("response.output_text.delta", {{"item_id", items_.back().id},
                                        {"output_index", items_.size() - 1},
                                        {"content_index", 0},
                                        {"delta", part.text},
                                        {"logprobs", Json::array()}});
  }
  for (const CallDelta& piece : part.calls) {
    if (piece.first) open_item({random_id("fc_"), false, false, piece.call});
    if (piece.arguments.empty()) continue;
    items_.back().text += piece.arguments;
    send("response.function_call_arguments.delta", {{"item_id", items_.back().id},
                                                    {"output_index", items_.size() - 1},
                                                    {"delta", piece.arguments}});
  }
}

void ResponsesExchange::end_stream() {
  if (items_.empty()) open_item({random_id("msg_"), true});
  close_item();
  send(status() == "completed" ? "response.completed" : "response.incomplete",
       {{"response", response(status(), output())}});
}

void ResponsesExchange::send_error(const ApiError& error) {
  send("error",
       {{"code", "server_error"}, {"message", to_utf8_lossy(error.what())}, {"param", nullptr}});
}

}  // namespace stepstone
