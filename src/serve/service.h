// What the server offers: routes, who may use them, and the model behind them.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "serve/api_keys.h"
#include "serve/http_server.h"
#include "serve/request_fields.h"

namespace stepstone {

struct ServiceOptions {
  ApiKeys keys;
  // Answer only requests whose Host names this machine: keeps web sites from reaching a server
  // without keys through a name of theirs.
  bool local_names_only = true;
};

class Service {
 public:
  explicit Service(ServiceOptions options) : options_(std::move(options)) {}

  // Until then, all but /health, / and errors is 503. Once.
  void set_model(std::unique_ptr<ServedModel> model);
  // Ends what the model is doing; 503 again. Only when handle() is called no more.
  void drop_model() { model_.reset(); }

  // From several threads. What the client does wrong, it is told.
  void handle(HttpRequest request, const std::shared_ptr<HttpReply>& reply);

 private:
  struct Route;
  static const Route kRoutes[];

  void dispatch(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);
  const Route& find(const HttpRequest& request) const;
  void check_origin(const HttpRequest& request) const;
  ServedModel& model() const;
  // 404 unless the field "model" names this model or is absent.
  ServedModel& model_for(const RequestBody& body) const;

  // A request that was let in.
  struct Call {
    const HttpRequest& request;
    const std::shared_ptr<HttpReply>& reply;
    std::string holder;  // of the API key
  };
  void page(const Call& call);
  void health(const Call& call);
  void metrics(const Call& call);
  void models(const Call& call);
  void chat(const Call& call);
  void completions(const Call& call);
  void messages(const Call& call);
  void count_tokens(const Call& call);
  void responses(const Call& call);
  // Makes an exchange of class E for the chat that `body` asks for, and submits it.
  template <typename E, typename... More>
  void answer_chat(const Call& call, const RequestBody& body, const More&... more);
  void embeddings(const Call& call);
  void tokenize(const Call& call);
  void detokenize(const Call& call);
  void apply_template(const Call& call);
  ServiceOptions options_;
  mutable std::mutex mutex_;
  std::unique_ptr<ServedModel> model_;
};

}  // namespace stepstone
