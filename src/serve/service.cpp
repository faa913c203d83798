#include "serve/service.h"

#include <algorithm>

#include "io/utf8.h"
#include "serve/api_error.h"
#include "serve/chat_exchange.h"
#include "serve/completion_exchange.h"
#include "serve/embedding_exchange.h"
#include "serve/messages_api.h"
#include "serve/metrics_text.h"
#include "serve/responses_api.h"
#include "serve/unknown_fields.h"
#include "serve/web_page.h"

namespace stepstone {
namespace {

void send_json(HttpReply& reply, const Json& json) { reply.send({200, json.dump()}); }

// "localhost:8080" -> "localhost".
std::string_view name_in(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// A * of `pattern` stands for one part of the path.
bool matches(std::string_view pattern, std::string_view path) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == path;
  const std::string_view rest = pattern.substr(star + 1);
  if (!path.starts_with(pattern.substr(0, star)) || !path.ends_with(rest)) return false;
  if (path.size() <= star + rest.size()) return false;
  return path.substr(star, path.size() - star - rest.size()).find('/') == std::string_view::npos;
}

}  // namespace

struct Service::Route {
  std::string_view method, path;
  enum Access : std::uint8_t {
    open,  // to all, without a key
    with_key,
    metered,  // with a key whose quota is not used up
    admin,    // with a key that may
  } access;
  void (Service::*serve)(const Call&);
};

const Service::Route Service::kRoutes[] = {
    {"GET", "/health", Route::open, &Service::health},
    {"GET", "/metrics", Route::with_key, &Service::metrics},
    {"GET", "/v1/models", Route::with_key, &Service::models},
    {"GET", "/models", Route::with_key, &Service::models},
    {"POST", "/models/load", Route::admin, &Service::load},
    {"POST", "/models/unload", Route::admin, &Service::unload},
    {"GET", "/usage", Route::with_key, &Service::usage},
    {"POST", "/v1/chat/completions", Route::metered, &Service::chat},
    {"POST", "/v1/completions", Route::metered, &Service::completions},
    {"POST", "/v1/messages", Route::metered, &Service::messages},
    {"POST", "/v1/messages/count_tokens", Route::with_key, &Service::count_tokens},
    {"POST", "/v1/responses", Route::metered, &Service::responses},
    {"POST", "/v1/embeddings", Route::metered, &Service::embeddings},
    {"POST", "/tokenize", Route::with_key, &Service::tokenize},
    {"POST", "/detokenize", Route::with_key, &Service::detokenize},
    {"POST", "/apply-template", Route::with_key, &Service::apply_template},
    {"GET", "/conversations", Route::with_key, &Service::conversations<&ConversationApi::list>},
    {"GET", "/conversations/*", Route::with_key, &Service::conversations<&ConversationApi::read>},
    {"POST", "/conversations/*", Route::with_key, &Service::conversations<&ConversationApi::write>},
    {"DELETE", "/conversations/*", Route::with_key,
     &Service::conversations<&ConversationApi::remove>},
    {"GET", "/runs/all", Route::with_key, &Service::runs<&RunsApi::list>},
    {"GET", "/runs/*", Route::with_key, &Service::runs<&RunsApi::run>},
    {"GET", "/runs/*/curves", Route::with_key, &Service::runs<&RunsApi::curves>},
};

Service::Service(ServiceOptions options)
    : options_(std::move(options)), ledger_(options_.usage_file) {
  if (!options_.conversations_file.empty()) {
    conversations_.emplace(options_.conversations_file);
    conversation_queue_ = std::make_unique<WorkQueue>();
  }
  if (!options_.runs_file.empty()) {
    runs_.emplace(options_.runs_file);
    run_queue_ = std::make_unique<WorkQueue>();
  }
}

void Service::close() {
  models_.reset();
  conversation_queue_.reset();
  run_queue_.reset();
}

RequestBody Service::body_of(const Call& call) {
  RequestBody body = parse_body(call.request.body);
  warn_of_unknown_fields(call.request.path, body.json);
  return body;
}

std::shared_ptr<ServedModel> Service::model_for(const RequestBody& body) const {
  return models_->find(get_or<std::string>(body.json, "model", kRequest, ""));
}

Exchange::Meter Service::meter(const Call& call) {
  return [this, holder = call.key.name](const TokenCount& count) { ledger_.add(holder, count); };
}

namespace {

// Of the exception being handled.
HttpResponse error_response(const HttpRequest& request) {
  const ApiError error = current_api_error();
  HttpResponse response = error.response();
  if (request.path.starts_with("/v1/messages")) response.body = messages_error(error).dump();
  return response;
}

}  // namespace

void Service::handle(HttpRequest request, const std::shared_ptr<HttpReply>& reply) {
  try {
    dispatch(request, reply);
  } catch (...) {
    reply->send(error_response(request));
  }
}

std::optional<HttpResponse> Service::refusal(const HttpRequest& head) const {
  try {
    admit(head);
    return std::nullopt;
  } catch (...) {
    return error_response(head);
  }
}

Service::Admitted Service::admit(const HttpRequest& request) const {
  check_origin(request);
  const ApiKey* given =
      options_.keys.find(request.header("authorization"), request.header("x-api-key"));
  const bool open =
      web_file(request.path) != nullptr || std::ranges::any_of(kRoutes, [&](const Route& r) {
        return r.access == Route::open && r.path == request.path;
      });
  if (!open && given == nullptr) {
    throw ApiError(401, "a valid API key is needed: Authorization: Bearer KEY", {},
                   "invalid_api_key");
  }
  static const ApiKey nobody;
  const ApiKey& key = given ? *given : nobody;
  const Route& route = find(request);
  if (route.access == Route::metered && key.tokens_per_day > 0 &&
      ledger_.tokens_today(key.name) >= key.tokens_per_day) {
    throw ApiError(429,
                   fmt::format("the {} tokens a day of this key are used up; {} s to the next day",
                               key.tokens_per_day, UsageLedger::seconds_left_today()),
                   {}, "insufficient_quota", UsageLedger::seconds_left_today());
  }
  if (route.access == Route::admin && !key.admin) {
    throw ApiError(403, "this takes a key of --api-key-file that is marked admin", {},
                   "admin_key_needed");
  }
  return {route, key};
}

void Service::dispatch(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  const Admitted in = admit(request);
  const Call call{request, reply, in.key};
  (this->*in.route.serve)(call);
}

const Service::Route& Service::find(const HttpRequest& request) const {
  const std::string_view given = request.method;
  const std::string_view method = given == "HEAD" ? "GET" : given;
  bool path_known = web_file(request.path) != nullptr;
  static constexpr Route kPage{"GET", {}, Route::open, &Service::page};
  if (path_known && method == kPage.method) return kPage;
  for (const Route& route : kRoutes) {
    if (!matches(route.path, request.path)) continue;
    if (route.method == method) return route;
    path_known = true;
  }
  if (path_known) {
    throw ApiError(
        405, fmt::format("{} does not go with {}", request.method, to_utf8_lossy(request.path)));
  }
  throw ApiError(404, fmt::format("there is nothing at {}", to_utf8_lossy(request.path)));
}

void Service::check_origin(const HttpRequest& request) const {
  if (!options_.local_names_only) return;
  const std::string_view host = name_in(request.header("host"));
  if (host != "localhost" && host != "127.0.0.1" && host != "[::1]") {
    throw ApiError(
        403, fmt::format("this server answers to localhost, not to \"{}\"", to_utf8_lossy(host)));
  }
  const std::string_view origin = request.header("origin");
  const auto scheme = origin.find("://");
  if (!origin.empty() &&
      (scheme == std::string_view::npos || origin.substr(scheme + 3) != request.header("host"))) {
    throw ApiError(403, "this server does not answer pages of other sites");
  }
}

void Service::page(const Call& call) {
  const WebFile& file = *web_file(call.request.path);
  call.reply->send({200,
                    std::string(file.content),
                    std::string(file.content_type),
                    {{"Content-Security-Policy",
                      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
                      "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                      "frame-ancestors 'none'"},
                     {"Cache-Control", "no-cache"},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"}}});
}

void Service::health(const Call& call) {
  if (!models_->started()) throw ApiError(503, "the model is being loaded", {}, "loading");
  send_json(*call.reply, {{"status", "ok"}});
}

void Service::metrics(const Call& call) {
  std::vector<NamedMetrics> all;
  for (const auto& view : models_->list()) {
    if (view.model) all.push_back({view.name, view.model->engine().metrics()});
  }
  call.reply->send({200, metrics_text(all), "text/plain; version=0.0.4; charset=utf-8"});
}

void Service::models(const Call& call) {
  Json list = Json::array();
  for (const auto& view : models_->list()) {
    Json json = {{"id", view.name},
                 {"object", "model"},
                 {"created", 0},
                 {"owned_by", "stepstone"},
                 {"status", {{"value", name_of(view.status)}}}};
    if (view.status == ModelRegistry::Status::failed) json["status"]["error"] = view.error;
    if (view.model) {
      ServedModel& m = *view.model;
      const TransformerConfig& config = m.stone().model->config();
      json["created"] = m.loaded_at();
      json["max_model_len"] = m.engine().context();
      json["meta"] = {{"n_vocab", m.tokenizer().vocab_size()},
                      {"n_ctx", m.engine().context()},
                      {"n_ctx_train", config.max_positions},
                      {"n_embd", config.hidden_size},
                      {"n_params", m.parameter_count()}};
    }
    list.push_back(std::move(json));
  }
  send_json(*call.reply, {{"object", "list"}, {"data", std::move(list)}});
}

void Service::load(const Call& call) {
  models_->load(get<std::string>(parse_body(call.request.body).json, "model", kRequest));
  send_json(*call.reply, {{"success", true}});
}

void Service::unload(const Call& call) {
  models_->unload(get<std::string>(parse_body(call.request.body).json, "model", kRequest));
  send_json(*call.reply, {{"success", true}});
}

void Service::usage(const Call& call) {
  Json days = Json::array();
  for (const auto& [day, count] : ledger_.days_of(call.key.name)) {
    days.push_back({{"day", day},
                    {"requests", count.requests},
                    {"input_tokens", count.input},
                    {"output_tokens", count.output}});
  }
  const std::int64_t limit = call.key.tokens_per_day;
  send_json(*call.reply, {{"name", call.key.name},
                          {"tokens_today", ledger_.tokens_today(call.key.name)},
                          {"tokens_per_day", limit > 0 ? Json(limit) : Json()},
                          {"days", std::move(days)}});
}

template <typename E, typename... More>
void Service::answer_chat(const Call& call, const RequestBody& body, const More&... more) {
  const auto model = model_for(body);
  ServedModel& m = *model;
  ChatRequest chat = chat_request(body, m);
  chat.options.request.key = call.key.name;
  EngineRequest request = with_prompt(chat.options.request, chat.prompt, m.engine().context());
  std::make_shared<E>(m, call.reply, std::move(chat), more...)
      ->submit({std::move(request)}, meter(call));
}

void Service::chat(const Call& call) { answer_chat<ChatExchange>(call, body_of(call)); }

void Service::messages(const Call& call) {
  const std::string chat = chat_of_messages(body_of(call), true);
  answer_chat<MessagesExchange>(call, parse_body(chat));
}

void Service::count_tokens(const Call& call) {
  const std::string chat = chat_of_messages(parse_body(call.request.body), false);
  const RequestBody body = parse_body(chat);
  send_json(*call.reply, {{"input_tokens", chat_request(body, *model_for(body)).prompt.size()}});
}

void Service::responses(const Call& call) {
  const RequestBody body = body_of(call);
  const std::string chat = chat_of_responses(body);
  answer_chat<ResponsesExchange>(call, parse_body(chat), body.json);
}

void Service::completions(const Call& call) {
  const RequestBody body = body_of(call);
  const auto model = model_for(body);
  ServedModel& m = *model;
  TextOptions options = completion_options(body, m);
  options.request.key = call.key.name;
  auto texts = prompts(body.json, "prompt", m.tokenizer());
  std::vector<EngineRequest> requests;
  for (const auto& prompt : texts) {
    requests.push_back(with_prompt(options.request, prompt, m.engine().context()));
  }
  std::make_shared<CompletionExchange>(m, call.reply, std::move(options), std::move(texts))
      ->submit(std::move(requests), meter(call));
}

void Service::embeddings(const Call& call) {
  const RequestBody parsed = body_of(call);
  const Json& body = parsed.json;
  const auto model = model_for(parsed);
  ServedModel& m = *model;
  const auto format = get_or<std::string>(body, "encoding_format", kRequest, "float");
  if (format != "float" && format != "base64") {
    throw ApiError(400, "encoding_format must be float or base64", "encoding_format");
  }
  const std::int64_t size = m.stone().model->config().hidden_size;
  if (get_or<std::int64_t>(body, "dimensions", kRequest, size) != size) {
    throw ApiError(400, fmt::format("the embeddings of this model have {} dimensions", size),
                   "dimensions");
  }
  EngineRequest request;
  request.embed = true;
  request.key = call.key.name;
  std::vector<EngineRequest> requests;
  for (auto& input : prompts(body, "input", m.tokenizer())) {
    requests.push_back(with_prompt(request, std::move(input), m.engine().context()));
  }
  std::make_shared<EmbeddingExchange>(m, call.reply, requests.size(), format == "base64")
      ->submit(std::move(requests), meter(call));
}

void Service::tokenize(const Call& call) {
  const RequestBody parsed = parse_body(call.request.body);
  const Json& body = parsed.json;
  const auto model = model_for(parsed);
  const Tokenizer& tokenizer = model->tokenizer();
  const auto content = get<std::string>(body, "content", kRequest);
  std::vector<std::int32_t> ids;
  if (get_or<bool>(body, "add_special", kRequest, false) && tokenizer.bos()) {
    ids.push_back(*tokenizer.bos());
  }
  const auto rest = get_or<bool>(body, "parse_special", kRequest, false)
                        ? tokenizer.encode_with_specials(content)
                        : tokenizer.encode(content);
  ids.insert(ids.end(), rest.begin(), rest.end());
  send_json(*call.reply, {{"tokens", ids}});
}

void Service::detokenize(const Call& call) {
  const RequestBody parsed = parse_body(call.request.body);
  const Json& body = parsed.json;
  const auto model = model_for(parsed);
  const Tokenizer& tokenizer = model->tokenizer();
  const auto ids = get<std::vector<std::int32_t>>(body, "tokens", kRequest);
  send_json(*call.reply, {{"content", to_utf8_lossy(tokenizer.decode(ids))}});
}

template <typename Api>
void Service::answer_later(WorkQueue& queue, Api& api, Answer<Api> make, const Call& call) {
  queue.add([&api, make, request = call.request, holder = call.key.name, reply = call.reply] {
    try {
      reply->send((api.*make)(request, holder));
    } catch (...) {
      reply->send(current_api_error().response());
    }
  });
}

template <Service::Answer<ConversationApi> kAnswer>
void Service::conversations(const Call& call) {
  if (!conversations_) {
    throw ApiError(404, "this server keeps no conversations", {}, "conversations_off");
  }
  answer_later(*conversation_queue_, *conversations_, kAnswer, call);
}

template <Service::Answer<RunsApi> kAnswer>
void Service::runs(const Call& call) {
  if (!runs_) throw ApiError(404, "this server shows no runs", {}, "runs_off");
  answer_later(*run_queue_, *runs_, kAnswer, call);
}

void Service::apply_template(const Call& call) {
  const RequestBody body = parse_body(call.request.body);
  const auto model = model_for(body);
  ServedModel& m = *model;
  const auto ids = chat_request(body, m).prompt;
  send_json(*call.reply, {{"prompt", to_utf8_lossy(m.tokenizer().decode(ids))}});
}

}  // namespace stepstone
