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
#include "serve/web_page.h"

namespace stepstone {
namespace {

void send_json(HttpReply& reply, const Json& json) { reply.send({200, json.dump()}); }

// "localhost:8080" -> "localhost".
std::string_view name_in(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

struct Service::Route {
  std::string_view method, path;
  bool open;  // to all, without a key
  void (Service::*serve)(const Call&);
};

const Service::Route Service::kRoutes[] = {
    {"GET", "/", true, &Service::page},
    {"GET", "/style.css", true, &Service::page},
    {"GET", "/chat.js", true, &Service::page},
    {"GET", "/markdown.js", true, &Service::page},
    {"GET", "/words.js", true, &Service::page},
    {"GET", "/health", true, &Service::health},
    {"GET", "/metrics", false, &Service::metrics},
    {"GET", "/v1/models", false, &Service::models},
    {"POST", "/v1/chat/completions", false, &Service::chat},
    {"POST", "/v1/completions", false, &Service::completions},
    {"POST", "/v1/messages", false, &Service::messages},
    {"POST", "/v1/messages/count_tokens", false, &Service::count_tokens},
    {"POST", "/v1/responses", false, &Service::responses},
    {"POST", "/v1/embeddings", false, &Service::embeddings},
    {"POST", "/tokenize", false, &Service::tokenize},
    {"POST", "/detokenize", false, &Service::detokenize},
    {"POST", "/apply-template", false, &Service::apply_template},
};

void Service::set_model(std::unique_ptr<ServedModel> model) {
  const std::lock_guard lock(mutex_);
  model_ = std::move(model);
}

ServedModel& Service::model() const {
  const std::lock_guard lock(mutex_);
  if (!model_) throw ApiError(503, "the model is being loaded", {}, "loading");
  return *model_;
}

ServedModel& Service::model_for(const RequestBody& body) const {
  ServedModel& m = model();
  const auto asked = get_or<std::string>(body.json, "model", kRequest, m.name());
  if (asked != m.name()) {
    throw ApiError(
        404,
        fmt::format("there is no model \"{}\" here, only \"{}\"", to_utf8_lossy(asked), m.name()),
        "model", "model_not_found");
  }
  return m;
}

void Service::handle(HttpRequest request, const std::shared_ptr<HttpReply>& reply) {
  try {
    dispatch(request, reply);
  } catch (...) {
    const ApiError error = current_api_error();
    HttpResponse response = error.response();
    if (request.path.starts_with("/v1/messages")) response.body = messages_error(error).dump();
    reply->send(std::move(response));
  }
}

void Service::dispatch(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  check_origin(request);
  const auto holder =
      options_.keys.holder(request.header("authorization"), request.header("x-api-key"));
  const bool known = std::ranges::any_of(
      kRoutes, [&](const Route& r) { return r.open && r.path == request.path; });
  if (!known && !holder) {
    throw ApiError(401, "a valid API key is needed: Authorization: Bearer KEY", {},
                   "invalid_api_key");
  }
  const Call call{request, reply, holder.value_or("")};
  (this->*find(request).serve)(call);
}

const Service::Route& Service::find(const HttpRequest& request) const {
  const std::string_view given = request.method;
  const std::string_view method = given == "HEAD" ? "GET" : given;
  bool path_known = false;
  for (const Route& route : kRoutes) {
    if (route.path != request.path) continue;
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
  model();
  send_json(*call.reply, {{"status", "ok"}});
}

void Service::metrics(const Call& call) {
  call.reply->send({200, metrics_text(model().engine().metrics(), model().name()),
                    "text/plain; version=0.0.4; charset=utf-8"});
}

void Service::models(const Call& call) {
  ServedModel& m = model();
  const TransformerConfig& config = m.stone().model->config();
  const Json meta = {{"n_vocab", m.tokenizer().vocab_size()},
                     {"n_ctx", m.engine().context()},
                     {"n_ctx_train", config.max_positions},
                     {"n_embd", config.hidden_size},
                     {"n_params", m.parameter_count()}};
  Json model = {{"id", m.name()},
                {"object", "model"},
                {"created", m.loaded_at()},
                {"owned_by", "stepstone"},
                {"max_model_len", m.engine().context()},
                {"meta", meta}};
  send_json(*call.reply, {{"object", "list"}, {"data", Json::array({std::move(model)})}});
}

template <typename E, typename... More>
void Service::answer_chat(const Call& call, const RequestBody& body, const More&... more) {
  ServedModel& m = model_for(body);
  ChatRequest chat = chat_request(body, m);
  chat.options.request.key = call.holder;
  EngineRequest request = with_prompt(chat.options.request, chat.prompt, m.engine().context());
  std::make_shared<E>(m, call.reply, std::move(chat), more...)->submit({std::move(request)});
}

void Service::chat(const Call& call) {
  answer_chat<ChatExchange>(call, parse_body(call.request.body));
}

void Service::messages(const Call& call) {
  const std::string chat = chat_of_messages(parse_body(call.request.body), true);
  answer_chat<MessagesExchange>(call, parse_body(chat));
}

void Service::count_tokens(const Call& call) {
  const std::string chat = chat_of_messages(parse_body(call.request.body), false);
  const RequestBody body = parse_body(chat);
  send_json(*call.reply, {{"input_tokens", chat_request(body, model_for(body)).prompt.size()}});
}

void Service::responses(const Call& call) {
  const RequestBody body = parse_body(call.request.body);
  const std::string chat = chat_of_responses(body);
  answer_chat<ResponsesExchange>(call, parse_body(chat), body.json);
}

void Service::completions(const Call& call) {
  const RequestBody body = parse_body(call.request.body);
  ServedModel& m = model_for(body);
  TextOptions options = completion_options(body, m);
  options.request.key = call.holder;
  auto texts = prompts(body.json, "prompt", m.tokenizer());
  std::vector<EngineRequest> requests;
  for (const auto& prompt : texts) {
    requests.push_back(with_prompt(options.request, prompt, m.engine().context()));
  }
  std::make_shared<CompletionExchange>(m, call.reply, std::move(options), std::move(texts))
      ->submit(std::move(requests));
}

void Service::embeddings(const Call& call) {
  const RequestBody parsed = parse_body(call.request.body);
  const Json& body = parsed.json;
  ServedModel& m = model_for(parsed);
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
  request.key = call.holder;
  std::vector<EngineRequest> requests;
  for (auto& input : prompts(body, "input", m.tokenizer())) {
    requests.push_back(with_prompt(request, std::move(input), m.engine().context()));
  }
  std::make_shared<EmbeddingExchange>(m, call.reply, requests.size(), format == "base64")
      ->submit(std::move(requests));
}

void Service::tokenize(const Call& call) {
  const RequestBody parsed = parse_body(call.request.body);
  const Json& body = parsed.json;
  const Tokenizer& tokenizer = model_for(parsed).tokenizer();
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
  const Tokenizer& tokenizer = model_for(parsed).tokenizer();
  const auto ids = get<std::vector<std::int32_t>>(body, "tokens", kRequest);
  send_json(*call.reply, {{"content", to_utf8_lossy(tokenizer.decode(ids))}});
}

void Service::apply_template(const Call& call) {
  const RequestBody body = parse_body(call.request.body);
  ServedModel& m = model_for(body);
  const auto ids = chat_request(body, m).prompt;
  send_json(*call.reply, {{"prompt", to_utf8_lossy(m.tokenizer().decode(ids))}});
}

}  // namespace stepstone
