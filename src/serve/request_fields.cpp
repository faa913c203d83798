#include "serve/request_fields.h"

#include <charconv>
#include <cmath>
#include <random>

#include "infer/generator.h"
#include "io/utf8.h"
#include "serve/api_error.h"
#include "serve/output_form.h"

namespace stepstone {
namespace {

constexpr std::int64_t kMaxChoices = 128, kMaxTop = 20;
constexpr std::size_t kMaxStops = 16, kMaxStopBytes = 1024, kMaxPrompts = 1024;

std::uint64_t seed_of(const Json& body) {
  if (!given(body, "seed")) {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }
  return static_cast<std::uint64_t>(get<std::int64_t>(body, "seed", kRequest));
}

// Fields of the sampler, with llama.cpp's names and vLLM's.
template <typename T>
struct SamplingField {
  std::string_view name;
  T SamplingParams::*member;
};
constexpr SamplingField<double> kRealFields[] = {
    {"temperature", &SamplingParams::temperature},
    {"top_p", &SamplingParams::top_p},
    {"min_p", &SamplingParams::min_p},
    {"typical_p", &SamplingParams::typical_p},
    {"repetition_penalty", &SamplingParams::repeat_penalty},
    {"repeat_penalty", &SamplingParams::repeat_penalty},
    {"presence_penalty", &SamplingParams::presence_penalty},
    {"frequency_penalty", &SamplingParams::frequency_penalty},
    {"dry_multiplier", &SamplingParams::dry_multiplier},
    {"dry_base", &SamplingParams::dry_base},
    {"mirostat_tau", &SamplingParams::mirostat_tau},
    {"mirostat_eta", &SamplingParams::mirostat_eta}};
constexpr SamplingField<std::int64_t> kIntegerFields[] = {
    {"top_k", &SamplingParams::top_k},
    {"repeat_last_n", &SamplingParams::penalty_window},
    {"dry_allowed_length", &SamplingParams::dry_allowed},
    {"dry_penalty_last_n", &SamplingParams::dry_window}};

template <typename T>
void read_field(const Json& body, const SamplingField<T>& field, SamplingParams& s) {
  T& member = s.*field.member;
  member = get_or<T>(body, field.name, kRequest, member);
  if (field.name == "top_k" && member == -1) member = 0;  // as vLLM says "all"
  try {
    s.validate();
  } catch (const UsageError& e) {
    throw ApiError(400, e.what(), std::string(field.name));
  }
}

std::shared_ptr<const DryBreakers> dry_breakers(const Json& body, const Tokenizer& tokenizer) {
  constexpr std::string_view kField = "dry_sequence_breakers";
  if (!given(body, kField)) return nullptr;
  try {
    auto texts = get<std::vector<std::string>>(body, kField, kRequest);
    require<UsageError>(!texts.empty(), "expected at least one text");
    return std::make_shared<const DryBreakers>(tokenizer, std::move(texts));
  } catch (const UsageError& e) {
    throw ApiError(400, fmt::format("{}: {}", kField, e.what()), std::string(kField));
  }
}

// With llama.cpp's names.
SpeculationLimits speculation(const Json& body) {
  constexpr std::int64_t kMost = 1 << 16;
  constexpr std::string_view kProbability = "speculative.p_min";
  SpeculationLimits limits;
  const auto read = [&](std::string_view field, std::optional<std::int64_t>& value) {
    if (given(body, field)) value = integer(body, field, 0, 0, kMost);
  };
  read("speculative.n_max", limits.most);
  read("speculative.n_min", limits.least);
  if (limits.most && limits.least && *limits.least > *limits.most) {
    throw ApiError(400, "speculative.n_min is above speculative.n_max", "speculative.n_min");
  }
  if (given(body, kProbability)) {
    limits.p_min = get<double>(body, kProbability, kRequest);
    if (!(*limits.p_min >= 0 && *limits.p_min <= 1)) {
      throw ApiError(400, fmt::format("{} must be between 0 and 1", kProbability),
                     std::string(kProbability));
    }
  }
  return limits;
}

SamplingParams sampling(const Json& body) {
  SamplingParams s;  // as OpenAI's API has it, everything off
  s.temperature = s.top_p = 1;
  s.min_p = 0;
  s.top_k = 0;
  for (const auto& field : kRealFields) read_field(body, field, s);
  for (const auto& field : kIntegerFields) read_field(body, field, s);
  const std::int64_t mirostat = integer(body, "mirostat", 0, 0, 2);
  if (mirostat == 1) {
    throw ApiError(400, "mirostat: there is only version 2", "mirostat", "unsupported");
  }
  s.mirostat = mirostat == 2;
  s.seed = seed_of(body);
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

TextOptions text_options(const RequestBody& request, const ServedModel& model) {
  const Json& body = request.json;
  TextOptions o;
  EngineRequest& r = o.request;
  r.sampling = sampling(body);
  r.sampling.dry_breakers = dry_breakers(body, model.tokenizer());
  r.speculation = speculation(body);
  r.priority = static_cast<int>(integer(body, "priority", 0, -1000, 1000));
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
  r.grammar = output_grammar(request);
  return o;
}

std::vector<std::int32_t> token_ids(const Json& list, std::string_view field) {
  std::vector<std::int32_t> ids;
  for (const Json& id : list) {
    ids.push_back(json_detail::convert<std::int32_t>(id, kRequest, field));
  }
  return ids;
}

}  // namespace

OrderedJson RequestBody::ordered(std::string_view field) const {
  if (!given(json, field)) return nullptr;
  return OrderedJson::parse(text).at(
      std::string(field));  // it was parsed before: within the limits
}

RequestBody parse_body(std::string_view text) {
  Json json = parse_json(text, kRequest, {.max_values = std::uint64_t{4} << 20, .max_depth = 64});
  if (!json.is_object()) throw ApiError(400, "the request must be a JSON object");
  return {text, std::move(json)};
}

bool given(const Json& body, std::string_view field) {
  const Json* value = find_field(body, field);
  return value != nullptr && !value->is_null();
}

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

TextOptions chat_options(const RequestBody& request, const ServedModel& model) {
  const Json& body = request.json;
  refuse(body, "functions", "superseded by tools, which are supported");
  TextOptions o = text_options(request, model);
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

TextOptions completion_options(const RequestBody& request, const ServedModel& model) {
  const Json& body = request.json;
  refuse(body, "suffix", "inserting text is not supported");
  TextOptions o = text_options(request, model);
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
