// What the server offers: routes, who may use them, and the model behind them.
#pragma once

#include <memory>
#include <string>

#include "serve/api_keys.h"
#include "serve/conversation_api.h"
#include "serve/exchange.h"
#include "serve/http_server.h"
#include "serve/model_registry.h"
#include "serve/request_fields.h"
#include "serve/runs_api.h"
#include "serve/work_queue.h"

namespace stepstone {

struct ServiceOptions {
  ApiKeys keys;
  // Answer only requests whose Host names this machine: keeps web sites from reaching a server
  // without keys through a name of theirs.
  bool local_names_only = true;
  std::filesystem::path usage_file = {};          // empty: usage is counted until the end alone
  std::filesystem::path conversations_file = {};  // empty: no conversations are kept
  std::filesystem::path runs_file = {};           // the run registry; empty: runs are not shown
};

class Service {
 public:
  explicit Service(ServiceOptions options);

  // Begins to load the models (model_registry.h); until one is there, what needs one is 503. Once,
  // before handle() is called.
  void open(std::vector<ModelRegistry::Source> models, const EngineOptions& options,
            ModelRegistry::OnLoaded on_loaded) {
    models_ = std::make_unique<ModelRegistry>(std::move(models), options, std::move(on_loaded));
  }
  // Ends what the models are doing. Only when handle() is called no more.
  void close();
  // Why conversations do not outlive the server, though they should; else empty.
  std::string conversations_problem() const {
    return conversations_ ? conversations_->problem() : "";
  }

  // From several threads. What the client does wrong, it is told.
  void handle(HttpRequest request, const std::shared_ptr<HttpReply>& reply);
  // The same for what a request's head tells already: its route, origin and key. The answer, if it
  // is refused. Quick.
  std::optional<HttpResponse> refusal(const HttpRequest& head) const;

 private:
  struct Route;
  static const Route kRoutes[];

  void dispatch(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);
  const Route& find(const HttpRequest& request) const;
  // Throws ApiError for a request that is not let in.
  struct Admitted {
    const Route& route;
    const ApiKey& key;
  };
  Admitted admit(const HttpRequest& request) const;
  void check_origin(const HttpRequest& request) const;
  // The model that the field "model" names, the first where it is absent.
  std::shared_ptr<ServedModel> model_for(const RequestBody& body) const;

  // A request that was let in.
  struct Call {
    const HttpRequest& request;
    const std::shared_ptr<HttpReply>& reply;
    const ApiKey& key;
  };
  void page(const Call& call);
  void health(const Call& call);
  void metrics(const Call& call);
  void models(const Call& call);
  void load(const Call& call);
  void unload(const Call& call);
  void usage(const Call& call);
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
  Exchange::Meter meter(const Call& call);
  // Says what of it is not known.
  static RequestBody body_of(const Call& call);

  // An answer that waits for files is made by `make` on the thread of `queue`.
  template <typename Api>
  using Answer = HttpResponse (Api::*)(const HttpRequest& request, const std::string& holder);
  template <typename Api>
  void answer_later(WorkQueue& queue, Api& api, Answer<Api> make, const Call& call);
  template <Answer<ConversationApi> kAnswer>
  void conversations(const Call& call);
  template <Answer<RunsApi> kAnswer>
  void runs(const Call& call);

  ServiceOptions options_;
  UsageLedger ledger_;  // outlives the models, which count in it
  std::unique_ptr<ModelRegistry> models_;
  std::optional<ConversationApi> conversations_;
  std::optional<RunsApi> runs_;
  std::unique_ptr<WorkQueue> conversation_queue_, run_queue_;
};

}  // namespace stepstone
