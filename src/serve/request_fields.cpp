#include "serve/request_fields.h"

#include <charconv>
#include <cmath>
#include <random>

#include "infer/generator.h"
#include "io/utf8.h"
#include "serve/api_error.h"

namespace stepstone {
namespace {

constexpr std::int64_t kMaxChoices = 128, kMaxTop = 20;
constexpr std::size_t kMaxStops = 16, kMaxStopBytes = 1024, kMaxPrompts = 1024;

std::int64_t integer(const Json& body, std::string_view field, std::int64_t fallback,
                     std::int64_t low, std::int64_t high) {
  const auto value = get_or<std::int64_t>(body, field, kRequest, fallback);
  if (value < low || value > high) {
    throw ApiError(400,
                   fmt::format("{} must be between {} and {}, not {}", field, low, high, value),
                   std::string(field));
  }
  return value;
}

bool given(const Json& body, std::string_view field) {
  const Json* value = find_field(body, field);
  return value != nullptr && !value->is_null();
}

std::uint64_t seed_of(const Json& body) {
  if (!given(body, "seed")) {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }
  return static_cast<std::uint64_t>(get<std::int64_t>(body, "seed", kRequest));
}

SamplingParams sampling(const Json& body) {
  SamplingParams s;
  const auto number = [&](std::string_view field, double fallback) {
    return get_or<double>(body, field, kRequest, fallback);
  };
  s.temperature = number("temperature", 1);
  s.top_p = number("top_p", 1);
  s.top_k = get_or<std::int64_t>(body, "top_k", kRequest, 0);
  if (s.top_k == -1) s.top_k = 0;  // as vLLM says "all"
  s.min_p = number("min_p", 0);
  s.repeat_penalty = number("repeat_penalty", number("repetition_penalty", 1));
  s.presence_penalty = number("presence_penalty", 0);
  s.frequency_penalty = number("frequency_penalty", 0);
  s.penalty_window = get_or<std::int64_t>(body, "repeat_last_n", kRequest, 64);
  s.seed = seed_of(body);
  s.validate();
  return s;
}

std::vector<std::string> stops(const Json& body) {
  const Json* value = find_field(body, "stop");
  if (value == nullptr || value->is_null()) return {};
  std::vector<std::string> texts;
  if (value->is_string()) {
    texts = {value->get<std::string>()};
  } else {
    texts = get<std::vector<std::string>>(body, "stop", kRequest);
  }
  for (const std::string& text : texts) {
    if (text.empty() || text.size() > kMaxStopBytes || texts.size() > kMaxStops) {
      throw ApiError(
          400, fmt::format("stop takes up to {} texts of 1 to {} bytes", kMaxStops, kMaxStopBytes),
          "stop");
    }
  }
  return texts;
}

std::vector<std::pair<std::int32_t, float>> logit_bias(const Json& body, const Tokenizer& t) {
  std::vector<std::pair<std::int32_t, float>> result;
  if (!given(body, "logit_bias")) return result;
  const Json map = get<Json>(body, "logit_bias", kRequest);
  const auto bad = [](const std::string& why) { return ApiError(400, why, "logit_bias"); };
  if (!map.is_object()) throw bad("logit_bias must be an object of token ids and numbers");
  for (const auto& [key, value] : map.items()) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= t.vocab_size()) {
      throw bad(fmt::format("logit_bias: \"{}\" is no token id below {}", key, t.vocab_size()));
    }
    if (!value.is_number() || std::abs(value.get<double>()) > 100) {
      throw bad(fmt::format("logit_bias of token {} must be a number from -100 to 100", id));
    }
    result.emplace_back(id, value.get<float>());
  }
  return result;
}

void refuse(const Json& body, std::string_view field, std::string_view why) {
  if (!given(body, field)) return;
  const Json& value = *find_field(body, field);
  if ((value.is_array() && value.empty()) || value == "none") return;
  throw ApiError(400, fmt::format("{}: {}", field, why), std::string(field), "unsupported");
}

TextOptions text_options(const Json& body, const ServedModel& model) {
  TextOptions o;
  EngineRequest& r = o.request;
  r.sampling = sampling(body);
  r.stop_strings = stops(body);
  r.logit_bias = logit_bias(body, model.tokenizer());
  r.choices = static_cast<std::size_t>(integer(body, "n", 1, 1, kMaxChoices));
  if (!get_or<bool>(body, "ignore_eos", kRequest, false)) r.stop_tokens = model.stop_tokens();
  o.stream = get_or<bool>(body, "stream", kRequest, false);
  if (given(body, "stream_options")) {
    const Json options = get<Json>(body, "stream_options", kRequest);
    if (!options.is_object()) {
      throw ApiError(400, "stream_options must be an object", "stream_options");
    }
    o.include_usage = get_or<bool>(options, "include_usage", kRequest, false);
  }
  if (given(body, "response_format")) {
    const Json format = get<Json>(body, "response_format", kRequest);
    if (!format.is_object() || format.value("type", Json()) != "text") {
      throw ApiError(400, "response_format: only {\"type\": \"text\"} is supported",
                     "response_format", "unsupported");
    }
  }
  return o;
}

// The text of a message: a string, or parts of type "text".
std::string content_of(const Json& message, const std::string& where) {
  const Json* content = find_field(message, "content");
  if (content != nullptr && content->is_string()) return content->get<std::string>();
  if (content == nullptr || !content->is_array()) {
    throw ApiError(400, where + ".content must be a string or an array of text parts", where);
  }
  std::string text;
  for (const Json& part : *content) {
    if (!part.is_object() || part.value("type", Json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      throw ApiError(400, where + ".content: only parts of type \"text\" are supported", where);
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

std::vector<std::int32_t> token_ids(const Json& list, std::string_view field) {
  std::vector<std::int32_t> ids;
  for (const Json& id : list) {
    ids.push_back(json_detail::convert<std::int32_t>(id, kRequest, field));
  }
  return ids;
}

}  // namespace

Json parse_body(std::string_view body) {
  Json json = parse_json(body, kRequest, {.max_values = std::uint64_t{4} << 20, .max_depth = 64});
  if (!json.is_object()) throw ApiError(400, "the request must be a JSON object");
  return json;
}

TextOptions chat_options(const Json& body, const ServedModel& model) {
  refuse(body, "tools", "tool calls are not supported yet");
  refuse(body, "functions", "tool calls are not supported yet");
  TextOptions o = text_options(body, model);
  const std::string_view limit =
      given(body, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  o.request.max_tokens = integer(body, limit, -1, -1, std::int64_t{1} << 40);
  const std::int64_t top = integer(body, "top_logprobs", 0, 0, kMaxTop);
  if (get_or<bool>(body, "logprobs", kRequest, false)) {
    o.request.top_logprobs = static_cast<int>(top);
  } else if (top > 0) {
    throw ApiError(400, "top_logprobs needs \"logprobs\": true", "top_logprobs");
  }
  return o;
}

TextOptions completion_options(const Json& body, const ServedModel& model) {
  refuse(body, "suffix", "inserting text is not supported");
  TextOptions o = text_options(body, model);
  o.request.max_tokens = integer(body, "max_tokens", 16, -1, std::int64_t{1} << 40);
  if (given(body, "logprobs")) {
    o.request.top_logprobs = static_cast<int>(integer(body, "logprobs", 0, 0, kMaxTop));
  }
  o.echo = get_or<bool>(body, "echo", kRequest, false);
  o.request.prompt_logprobs = o.echo && o.request.top_logprobs >= 0;
  if (integer(body, "best_of", static_cast<std::int64_t>(o.request.choices), 1, kMaxChoices) !=
      static_cast<std::int64_t>(o.request.choices)) {
    throw ApiError(400, "best_of other than n is not supported", "best_of", "unsupported");
  }
  return o;
}

std::vector<Message> chat_messages(const Json& body) {
  const Json list = get<Json>(body, "messages", kRequest);
  if (!list.is_array() || list.empty()) {
    throw ApiError(400, "messages must be an array with at least one message", "messages");
  }
  std::vector<Message> messages;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    if (!list[i].is_object()) throw ApiError(400, where + " must be an object", where);
    std::string role = get<std::string>(list[i], "role", where);
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant") {
      throw ApiError(400,
                     fmt::format("{}.role: \"{}\" is not system, user or assistant", where,
                                 to_utf8_lossy(role)),
                     where);
    }
    messages.push_back({std::move(role), content_of(list[i], where)});
  }
  return messages;
}

std::vector<std::vector<std::int32_t>> prompts(const Json& body, std::string_view field,
                                               const Tokenizer& tokenizer) {
  const Json value = get<Json>(body, field, kRequest);
  const auto bad = [&](std::string_view why) {
    return ApiError(400, fmt::format("{}: {}", field, why), std::string(field));
  };
  if (value.is_string()) return {prompt_tokens(tokenizer, value.get_ref<const std::string&>())};
  if (!value.is_array() || value.empty()) {
    throw bad("expected a text, a list of texts, a list of token ids or a list of such lists");
  }
  if (value[0].is_number()) return {token_ids(value, field)};
  if (value.size() > kMaxPrompts) throw bad(fmt::format("more than {} of them", kMaxPrompts));
  std::vector<std::vector<std::int32_t>> result;
  for (const Json& item : value) {
    if (item.is_string()) {
      result.push_back(prompt_tokens(tokenizer, item.get_ref<const std::string&>()));
    } else if (item.is_array() && !item.empty()) {
      result.push_back(token_ids(item, field));
    } else {
      throw bad("expected texts or lists of token ids");
    }
  }
  return result;
}

void check_model(const Json& body, const ServedModel& model) {
  const auto asked = get_or<std::string>(body, "model", kRequest, model.name());
  if (asked != model.name()) {
    throw ApiError(404,
                   fmt::format("there is no model \"{}\" here, only \"{}\"", to_utf8_lossy(asked),
                               model.name()),
                   "model", "model_not_found");
  }
}

EngineRequest with_prompt(EngineRequest request, std::vector<std::int32_t> prompt,
                          std::int64_t context) {
  const auto length = static_cast<std::int64_t>(prompt.size());
  if (length > context || request.max_tokens > context - length) {
    throw ApiError(400,
                   fmt::format("the context has room for {} tokens: the prompt has {}, and {} more "
                               "are asked for",
                               context, length, std::max<std::int64_t>(0, request.max_tokens)),
                   request.max_tokens > 0 ? "max_tokens" : "prompt", "context_length_exceeded");
  }
  if (request.max_tokens == -1) request.max_tokens = context - length;
  request.prompt = std::move(prompt);
  return request;
}

}  // namespace stepstone
