#include "serve/chat_exchange.h"

namespace stepstone {
namespace {

Json token_json(const Tokenizer& tokenizer, const TokenLogprob& t) {
  Json bytes = Json::array();
  for (const char c : tokenizer.token_bytes(t.id)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(tokenizer, t.id)}, {"logprob", t.logprob}, {"bytes", bytes}};
}

}  // namespace

Json ChatExchange::frame(bool chunk) const {
  return {{"id", id_},
          {"object", chunk ? "chat.completion.chunk" : "chat.completion"},
          {"created", created()},
          {"model", model().name()},
          {"system_fingerprint", nullptr},
          {"choices", Json::array()}};
}

Json ChatExchange::logprobs(const std::vector<ScoredToken>& tokens) const {
  if (options().request.top_logprobs < 0) return nullptr;
  Json content = Json::array();
  for (const ScoredToken& scored : tokens) {
    Json token = token_json(model().tokenizer(), scored.token);
    token["top_logprobs"] = Json::array();
    for (const auto& top : scored.top) {
      token["top_logprobs"].push_back(token_json(model().tokenizer(), top));
    }
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json ChatExchange::finish_of(const Reply& reply) const {
  return reply.called() ? Json("tool_calls") : finish_json(reply.finish);
}

void ChatExchange::take_reply(std::size_t choice, const ReplyPart& part) {
  const Reply& reply = reply_of(choice);
  Json delta = Json::object();
  if (part.first) delta["role"] = "assistant";
  const bool calls_alone = part.text.empty() && !part.calls.empty();
  if ((part.first && !calls_alone) || !part.text.empty()) delta["content"] = part.text;
  for (const CallDelta& call : part.calls) {
    Json json = {{"index", call.call}, {"function", {{"arguments", call.arguments}}}};
    if (call.first) {
      json["id"] = reply.calls[call.call].id;
      json["type"] = "function";
      json["function"]["name"] = reply.calls[call.call].name;
    }
    delta["tool_calls"].push_back(std::move(json));
  }
  // What the parser of calls holds back, or takes for punctuation, is no news.
  if (delta.empty() && part.logprobs.empty() && part.finish == FinishReason::none) return;
  Json json = frame(true);
  json["choices"].push_back({{"index", choice},
                             {"delta", std::move(delta)},
                             {"logprobs", logprobs(part.logprobs)},
                             {"finish_reason", finish_of(reply)}});
  if (options().include_usage) json["usage"] = nullptr;
  send_event(json);
}

Json ChatExchange::whole() {
  Json json = frame(false);
  for (std::size_t i = 0; i < choices(); ++i) {
    const Reply& reply = reply_of(i);
    Json message = {{"role", "assistant"}, {"content", reply.text}, {"refusal", nullptr}};
    if (!reply.calls.empty() && reply.text.empty()) message["content"] = nullptr;
    for (const ToolCall& call : reply.calls) {
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    json["choices"].push_back({{"index", i},
                               {"message", std::move(message)},
                               {"logprobs", logprobs(reply.logprobs)},
                               {"finish_reason", finish_of(reply)}});
  }
  json["usage"] = usage_json(usage());
  return json;
}

void ChatExchange::end_stream() {
  if (options().include_usage) {
    Json json = frame(true);
    json["usage"] = usage_json(usage());
    send_event(json);
  }
  reply().write("data: [DONE]\n\n");
}

}  // namespace stepstone
