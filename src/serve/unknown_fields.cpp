#include "serve/unknown_fields.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <span>

#include "core/note.h"

namespace stepstone {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::size_t kMaxWarnings = 100, kMaxShown = 64;

constexpr std::string_view kSampling[] = {
    "model", "temperature", "top_p", "min_p", "typical_p", "top_k", "seed", "stop", "stream",
    "stream_options", "n", "repetition_penalty", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "repeat_last_n", "dry_multiplier", "dry_base", "dry_allowed_length",
    "dry_penalty_last_n", "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta",
    "logit_bias", "priority", "ignore_eos", "max_tokens", "logprobs", "speculative.n_max",
    "speculative.n_min", "speculative.p_min",
    // the form of a text
    "response_format", "grammar", "json_schema", "guided_json", "guided_regex", "guided_choice",
    "guided_grammar", "structured_outputs"};
constexpr std::string_view kChat[] = {
    "messages",     "max_completion_tokens", "top_logprobs",         "tools",
    "tool_choice",  "parallel_tool_calls",   "chat_template_kwargs", "functions",
    "function_call"};
constexpr std::string_view kCompletions[] = {"prompt", "echo", "best_of", "suffix"};
constexpr std::string_view kEmbeddings[] = {"model", "input", "encoding_format", "dimensions"};
constexpr std::string_view kMessages[] = {
    "model", "max_tokens", "temperature",          "top_p",  "top_k",    "stream",
    "seed",  "min_p",      "chat_template_kwargs", "system", "messages", "stop_sequences",
    "tools", "tool_choice"};
constexpr std::string_view kResponses[] = {"model",
                                           "temperature",
                                           "top_p",
                                           "top_k",
                                           "min_p",
                                           "seed",
                                           "stream",
                                           "parallel_tool_calls",
                                           "chat_template_kwargs",
                                           "max_output_tokens",
                                           "instructions",
                                           "input",
                                           "text",
                                           "tools",
                                           "tool_choice",
                                           "previous_response_id",
                                           "conversation",
                                           "prompt",
                                           "background",
                                           "metadata"};

// Clients send them unasked, or they are about storing, billing and thinking, which are not here.
constexpr std::string_view kOfClients[] = {"user",
                                           "store",
                                           "metadata",
                                           "service_tier",
                                           "safety_identifier",
                                           "prompt_cache_key",
                                           "prompt_cache_retention",
                                           "reasoning_effort",
                                           "reasoning",
                                           "thinking",
                                           "verbosity",
                                           "modalities",
                                           "include",
                                           "truncation",
                                           "context_management",
                                           "cache_control",
                                           "betas"};

struct Endpoint {
  std::string_view path;
  Names own, shared;
};
const Endpoint kEndpoints[] = {{"/v1/chat/completions", kChat, kSampling},
                               {"/v1/completions", kCompletions, kSampling},
                               {"/v1/embeddings", kEmbeddings, {}},
                               {"/v1/messages", kMessages, {}},
                               {"/v1/responses", kResponses, {}}};

bool has(Names names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::vector<std::string> unknown_fields(std::string_view path, const Json& body) {
  const auto endpoint = std::ranges::find(kEndpoints, path, &Endpoint::path);
  if (endpoint == std::end(kEndpoints)) return {};
  std::vector<std::string> unknown;
  for (const auto& [name, value] : body.items()) {
    if (!has(endpoint->own, name) && !has(endpoint->shared, name) && !has(kOfClients, name)) {
      unknown.push_back(name);
    }
  }
  return unknown;
}

void warn_of_unknown_fields(std::string_view path, const Json& body) {
  static std::mutex mutex;
  static std::set<std::string> said;
  for (const std::string& name : unknown_fields(path, body)) {
    if (name.size() > kMaxShown) continue;
    const std::lock_guard lock(mutex);
    if (said.size() == kMaxWarnings || !said.insert(fmt::format("{} {}", path, name)).second) {
      continue;
    }
    put_note(fmt::format("stepstone: {}: the field {} is not known here and has no effect\n", path,
                         dump_json(name)));
  }
}

}  // namespace stepstone
