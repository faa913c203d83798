#include "serve/text_exchange.h"

#include <random>

#include "io/utf8.h"

namespace stepstone {

std::string random_id(std::string_view prefix) {
  std::random_device random;
  return fmt::format("{}{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

Json usage_json(const EngineUsage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.completion_tokens},
          {"total_tokens", u.prompt_tokens + u.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_tokens}}}};
}

std::string token_text(const Tokenizer& tokenizer, std::int32_t id) {
  const std::string_view bytes = tokenizer.token_bytes(id);
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text = "bytes:";
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

Json finish_json(FinishReason reason) {
  return reason == FinishReason::none ? Json() : Json(api_name(reason));
}

TextExchange::TextExchange(ServedModel& model, std::shared_ptr<HttpReply> reply,
                           TextOptions options, std::vector<std::vector<std::int32_t>> prompts)
    : Exchange(model.engine(), std::move(reply)),
      model_(model),
      options_(std::move(options)),
      prompts_(std::move(prompts)),
      usages_(prompts_.size() * options_.request.choices),
      begun_(usages_.size(), false) {}

void TextExchange::take(std::size_t request, EngineEvent event) {
  const std::size_t choice = request * options_.request.choices + event.choice;
  Part part{!begun_[choice],           std::move(event.text), std::move(event.prompt_logprobs),
            std::move(event.logprobs), event.finish,          std::move(event.stopped_by)};
  begun_[choice] = true;
  if (event.finish != FinishReason::none) usages_[choice] = event.usage;
  if (options_.stream && !std::exchange(streaming_, true)) {
    reply().start({200,
                   "",
                   "text/event-stream; charset=utf-8",
                   {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}});
  }
  take_part(choice, std::move(part));
}

EngineUsage TextExchange::usage() const {
  EngineUsage sum;
  for (std::size_t i = 0; i < usages_.size(); ++i) {
    sum.completion_tokens += usages_[i].completion_tokens;
    if (i % options_.request.choices != 0) continue;
    sum.prompt_tokens += usages_[i].prompt_tokens;
    sum.cached_tokens += usages_[i].cached_tokens;
  }
  return sum;
}

void TextExchange::send_event(const Json& json, std::string_view name) {
  const std::string head = name.empty() ? "" : fmt::format("event: {}\n", name);
  reply().write(fmt::format("{}data: {}\n\n", head, json.dump()));
}

void TextExchange::complete() {
  if (!options_.stream) return reply().send({200, whole().dump()});
  end_stream();
  reply().finish();
}

void TextExchange::fail(const ApiError& error) {
  if (!streaming_) {
    HttpResponse response = error.response();
    response.body = error_body(error).dump();
    return reply().send(std::move(response));
  }
  send_error(error);
  reply().finish();
}

}  // namespace stepstone
