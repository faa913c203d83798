#include "serve/text_exchange.h"

#include <algorithm>
#include <random>

#include "io/utf8.h"

namespace stepstone {
namespace {

std::string random_id(std::string_view prefix) {
  std::random_device random;
  return fmt::format("{}{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

// The token's text; one that is only a part of a character as "bytes:\xe4\xbd", so that no two
// tokens look alike.
std::string token_text(const Tokenizer& tokenizer, std::int32_t id) {
  const std::string_view bytes = tokenizer.token_bytes(id);
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text = "bytes:";
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

Json chat_token(const Tokenizer& tokenizer, const TokenLogprob& t) {
  Json bytes = Json::array();
  for (const char c : tokenizer.token_bytes(t.id)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(tokenizer, t.id)}, {"logprob", t.logprob}, {"bytes", bytes}};
}

Json finish_name(FinishReason reason) {
  return reason == FinishReason::none ? Json() : Json(api_name(reason));
}

}  // namespace

TextExchange::TextExchange(ServedModel& model, std::shared_ptr<HttpReply> reply,
                           TextOptions options, std::vector<std::vector<std::int32_t>> prompts,
                           bool chat)
    : Exchange(model.engine(), std::move(reply)),
      model_(model),
      options_(std::move(options)),
      prompts_(std::move(prompts)),
      chat_(chat),
      id_(random_id(chat ? "chatcmpl-" : "cmpl-")),
      created_(std::time(nullptr)),
      choices_(prompts_.size() * options_.request.choices),
      offsets_(choices_.size(), 0),
      usages_(choices_.size()) {}

std::string TextExchange::prompt_text(std::size_t request) const {
  return to_utf8_lossy(model_.tokenizer().decode(prompts_[request]));
}

void TextExchange::take(std::size_t request, EngineEvent event) {
  const std::size_t index = request * options_.request.choices + event.choice;
  Choice part{choices_[index].begun, std::move(event.text), std::move(event.prompt_logprobs),
              std::move(event.logprobs), event.finish};
  if (event.finish != FinishReason::none) usages_[index] = event.usage;
  choices_[index].begun = true;
  if (options_.stream) return stream_chunk(index, std::move(part));
  Choice& whole = choices_[index];
  whole.text += part.text;
  std::ranges::move(part.prompt_logprobs, std::back_inserter(whole.prompt_logprobs));
  std::ranges::move(part.logprobs, std::back_inserter(whole.logprobs));
  whole.finish = part.finish;
}

Json TextExchange::frame(bool chunk) const {
  const char* object =
      chat_ ? (chunk ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  return {{"id", id_},
          {"object", object},
          {"created", created_},
          {"model", model_.name()},
          {"system_fingerprint", nullptr},
          {"choices", Json::array()}};
}

Json TextExchange::usage() const {
  std::int64_t prompt = 0, cached = 0, completion = 0;
  for (std::size_t i = 0; i < usages_.size(); ++i) {
    completion += usages_[i].completion_tokens;
    if (i % options_.request.choices != 0) continue;
    prompt += usages_[i].prompt_tokens;
    cached += usages_[i].cached_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

Json TextExchange::chat_logprobs(const std::vector<ScoredToken>& tokens) const {
  Json content = Json::array();
  for (const ScoredToken& scored : tokens) {
    Json token = chat_token(model_.tokenizer(), scored.token);
    token["top_logprobs"] = Json::array();
    for (const auto& top : scored.top) {
      token["top_logprobs"].push_back(chat_token(model_.tokenizer(), top));
    }
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json TextExchange::completion_logprobs(std::size_t index, bool with_prompt, const Choice& part) {
  const Tokenizer& tokenizer = model_.tokenizer();
  Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
       offsets = Json::array();
  const auto add_token = [&](std::int32_t id) {
    tokens.push_back(token_text(tokenizer, id));
    offsets.push_back(offsets_[index]);
    offsets_[index] += characters(tokenizer.token_bytes(id));
  };
  const auto add = [&](const ScoredToken& scored) {
    add_token(scored.token.id);
    logprobs.push_back(scored.token.logprob);
    Json top = Json::object();
    for (const auto& t : scored.top) top[token_text(tokenizer, t.id)] = t.logprob;
    tops.push_back(std::move(top));
  };
  if (with_prompt) {
    const std::size_t request = index / options_.request.choices;
    add_token(prompts_[request][0]);  // nothing says how probable the first token is
    logprobs.push_back(nullptr);
    tops.push_back(nullptr);
    for (const auto& scored : choices_[request * options_.request.choices].prompt_logprobs) {
      add(scored);
    }
    if (options_.stream) std::ranges::for_each(part.prompt_logprobs, add);
  }
  std::ranges::for_each(part.logprobs, add);
  return {{"tokens", tokens},
          {"token_logprobs", logprobs},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

Json TextExchange::logprobs_of(std::size_t index, bool with_prompt, const Choice& part) {
  if (options_.request.top_logprobs < 0) return nullptr;
  return chat_ ? chat_logprobs(part.logprobs) : completion_logprobs(index, with_prompt, part);
}

Json TextExchange::whole_choice(std::size_t index) {
  const Choice& c = choices_[index];
  Json json = {{"index", index},
               {"logprobs", logprobs_of(index, options_.echo, c)},
               {"finish_reason", finish_name(c.finish)}};
  if (chat_) {
    json["message"] = {{"role", "assistant"}, {"content", c.text}, {"refusal", nullptr}};
  } else {
    const std::size_t request = index / options_.request.choices;
    json["text"] = (options_.echo ? prompt_text(request) : "") + c.text;
  }
  return json;
}

void TextExchange::stream_chunk(std::size_t index, Choice part) {
  if (!std::exchange(streaming_, true)) {
    reply().start({200,
                   "",
                   "text/event-stream; charset=utf-8",
                   {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}});
  }
  const bool first = !part.begun;
  Json choice = {{"index", index}, {"finish_reason", finish_name(part.finish)}};
  choice["logprobs"] = logprobs_of(index, options_.echo && first, part);
  if (chat_) {
    choice["delta"] = Json::object();
    if (first) choice["delta"]["role"] = "assistant";
    if (first || !part.text.empty()) choice["delta"]["content"] = part.text;
  } else {
    const bool echo = options_.echo && first;
    choice["text"] = (echo ? prompt_text(index / options_.request.choices) : "") + part.text;
  }
  Json json = frame(true);
  json["choices"].push_back(std::move(choice));
  if (options_.include_usage) json["usage"] = nullptr;
  send_event(json);
}

void TextExchange::send_event(const Json& json) {
  reply().write(fmt::format("data: {}\n\n", json.dump()));
}

void TextExchange::complete() {
  if (!options_.stream) {
    Json json = frame(false);
    for (std::size_t i = 0; i < choices_.size(); ++i) json["choices"].push_back(whole_choice(i));
    json["usage"] = usage();
    return reply().send({200, json.dump()});
  }
  if (options_.include_usage) {
    Json json = frame(true);
    json["usage"] = usage();
    send_event(json);
  }
  reply().write("data: [DONE]\n\n");
  reply().finish();
}

void TextExchange::fail(const ApiError& error) {
  if (!streaming_) return reply().send(error.response());
  send_event(error.body());
  reply().finish();
}

}  // namespace stepstone
