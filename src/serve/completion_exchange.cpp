#include "serve/completion_exchange.h"

#include <algorithm>

#include "io/utf8.h"

namespace stepstone {

CompletionExchange::CompletionExchange(ServedModel& model, std::shared_ptr<HttpReply> reply,
                                       TextOptions options,
                                       std::vector<std::vector<std::int32_t>> prompts)
    : TextExchange(model, std::move(reply), std::move(options), std::move(prompts)),
      wholes_(choices()),
      prompt_logprobs_(this->prompts().size()),
      offsets_(choices(), 0) {}

void CompletionExchange::take_part(std::size_t choice, Part part) {
  auto& of_prompt = prompt_logprobs_[choice / options().request.choices];
  std::ranges::move(part.prompt_logprobs, std::back_inserter(of_prompt));
  if (!options().stream) {
    Part& whole = wholes_[choice];
    whole.text += part.text;
    std::ranges::move(part.logprobs, std::back_inserter(whole.logprobs));
    whole.finish = part.finish;
    return;
  }
  Json json = frame();
  json["choices"].push_back(choice_json(choice, options().echo && part.first, part));
  if (options().include_usage) json["usage"] = nullptr;
  send_event(json);
}

Json CompletionExchange::frame() const {
  return {{"id", id_},
          {"object", "text_completion"},
          {"created", created()},
          {"model", model().name()},
          {"system_fingerprint", nullptr},
          {"choices", Json::array()}};
}

Json CompletionExchange::choice_json(std::size_t choice, bool with_prompt, const Part& part) {
  std::string text = part.text;
  if (with_prompt) {
    const auto& prompt = prompts()[choice / options().request.choices];
    text = to_utf8_lossy(model().tokenizer().decode(prompt)) + text;
  }
  return {{"index", choice},
          {"text", text},
          {"logprobs", logprobs(choice, with_prompt, part)},
          {"finish_reason", finish_json(part.finish)}};
}

Json CompletionExchange::logprobs(std::size_t choice, bool with_prompt, const Part& part) {
  if (options().request.top_logprobs < 0) return nullptr;
  const Tokenizer& tokenizer = model().tokenizer();
  Json tokens = Json::array(), values = Json::array(), tops = Json::array(),
       offsets = Json::array();
  const auto add_token = [&](std::int32_t id) {
    tokens.push_back(token_text(tokenizer, id));
    offsets.push_back(offsets_[choice]);
    offsets_[choice] += utf8_characters(tokenizer.token_bytes(id));
  };
  const auto add = [&](const ScoredToken& scored) {
    add_token(scored.token.id);
    values.push_back(scored.token.logprob);
    Json top = Json::object();
    for (const auto& t : scored.top) top[token_text(tokenizer, t.id)] = t.logprob;
    tops.push_back(std::move(top));
  };
  if (with_prompt) {
    const std::size_t prompt = choice / options().request.choices;
    add_token(prompts()[prompt][0]);  // nothing says how probable the first token is
    values.push_back(nullptr);
    tops.push_back(nullptr);
    std::ranges::for_each(prompt_logprobs_[prompt], add);
  }
  std::ranges::for_each(part.logprobs, add);
  return {{"tokens", tokens},
          {"token_logprobs", values},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

Json CompletionExchange::whole() {
  Json json = frame();
  for (std::size_t i = 0; i < choices(); ++i) {
    json["choices"].push_back(choice_json(i, options().echo, wholes_[i]));
  }
  json["usage"] = usage_json(usage());
  return json;
}

void CompletionExchange::end_stream() {
  if (options().include_usage) {
    Json json = frame();
    json["usage"] = usage_json(usage());
    send_event(json);
  }
  reply().write("data: [DONE]\n\n");
}

}  // namespace stepstone
