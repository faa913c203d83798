// stepstone serve -m DIR
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>

#include "cache_flags.h"
#include "generate_flags.h"
#include "io/paths.h"
#include "output.h"
#include "serve/api_error.h"
#include "serve/service.h"
#include "stone/model_file.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct ServeFlags {
  std::string alias, key_file, usage_file, conversations_file, runs_file;
  std::vector<std::string> models, keys;
  std::int64_t kv_mib = 0;
  bool no_reuse = false, no_conversations = false, no_runs = false;
  double drain_seconds = 30, timeout_seconds = 3600;
  HttpOptions http;
  EngineOptions engine;
  SpeculationFlags speculation;
};

ApiKeys keys_of(const ServeFlags& flags) {
  std::vector<ApiKey> keys;
  if (!flags.key_file.empty()) keys = ApiKeys::read(flags.key_file);
  for (const std::string& key : flags.keys) keys.push_back({key});
  if (const char* key = std::getenv("STEPSTONE_API_KEY"); key && *key) keys.push_back({key});
  return ApiKeys(std::move(keys));
}

// NAME=DIR, or DIR alone.
std::vector<ModelRegistry::Source> models_of(const ServeFlags& flags) {
  std::vector<ModelRegistry::Source> models;
  for (const std::string& given : flags.models) {
    const auto equals = given.find('=');
    if (equals == std::string::npos || std::filesystem::exists(given)) {
      models.push_back({given, {}});
    } else {
      models.push_back({given.substr(equals + 1), given.substr(0, equals)});
    }
  }
  require<UsageError>(flags.alias.empty() || models.size() == 1,
                      "--alias names a single model; with several, use -m NAME=DIR");
  if (!flags.alias.empty()) models[0].name = flags.alias;
  return models;
}

// The file that a flag names or a default; none when it is turned off, or there is no home for it.
std::filesystem::path file_of(const std::string& given, bool off, const char* name) {
  if (off) return {};
  if (!given.empty()) return given;
  try {
    return stepstone_home() / name;
  } catch (const UsageError& e) {
    put_note(fmt::format("note: {} is left out: {}\n", name, e.what()));
    return {};
  }
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

void run(ServeFlags flags) {
  flags.engine.kv_bytes = flags.kv_mib << 20;
  flags.engine.reuse = !flags.no_reuse;
  flags.http.drain_time = milliseconds(flags.drain_seconds);
  flags.http.total_time = milliseconds(flags.timeout_seconds);
  if (flags.http.host == "localhost") flags.http.host = "127.0.0.1";
  const bool local = flags.http.host.starts_with("127.") || flags.http.host == "::1";
  const std::vector<ModelRegistry::Source> models = models_of(flags);
  for (const auto& model : models) require_model(model.path);  // before anybody can connect
  flags.engine.speculation = flags.speculation.load();
  ApiKeys keys = keys_of(flags);
  const bool open = keys.empty();
  Service service({.keys = std::move(keys),
                   .local_names_only = local && open,
                   .usage_file = flags.usage_file,
                   .conversations_file = file_of(flags.conversations_file, flags.no_conversations,
                                                 "conversations.db"),
                   .runs_file = file_of(flags.runs_file, flags.no_runs, "runs.db")});
  if (const std::string problem = service.conversations_problem(); !problem.empty()) {
    put_note(fmt::format("warning: conversations are lost at the end: {}\n", problem));
  }
  HttpServer server(
      flags.http,
      [&service](HttpRequest request, const std::shared_ptr<HttpReply>& reply) {
        service.handle(std::move(request), reply);
      },
      http_error_body, [&service](const HttpRequest& head) { return service.refusal(head); });

  std::exception_ptr failed;  // of the models of the beginning
  service.open(models, flags.engine,
               [&, left = models.size()](const ModelRegistry::View& view,
                                         std::exception_ptr problem) mutable {
                 const bool first = left > 0 && left-- > 0;
                 if (!problem) {
                   put_note(fmt::format("{} is ready: {} tokens of context\n", view.name,
                                        view.model->engine().context()));
                   note_context(flags.engine.context, view.model->engine().context(),
                                view.model->stone().model->config());
                 } else if (first) {
                   failed = failed ? failed : problem;
                   server.stop();
                 } else {
                   put_note(fmt::format("{}: {}\n", view.name, view.error));
                 }
               });
  if (!local && open) put_note("warning: anyone who can reach this port can use the model\n");
  put_out(fmt::format("listening on {}://{}:{}\n", flags.http.key_file.empty() ? "http" : "https",
                      (flags.http.host.find(':') != std::string::npos) ? "[" + flags.http.host + "]"
                                                                       : flags.http.host,
                      server.port()));
  server.run(true);
  service.close();  // answers end before the server that carries them
  if (failed) std::rethrow_exception(failed);
}

void add_engine_flags(CLI::App& verb, ServeFlags& f) {
  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  verb.add_option("-c,--ctx-size", f.engine.context,
                  "Tokens of prompt and answer together (default: the model's)")
      ->check(positive);
  verb.add_option("--parallel,--np", f.engine.max_sequences, "Answers written at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb.add_option("-b,--batch-size", f.engine.step_tokens, "Tokens per step of the engine")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_option("--max-queue", f.engine.max_queue, "Requests that may wait; more get 429")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_option("--kv-memory", f.kv_mib,
                  "MiB for keys and values of all models at most (default: enough for all answers, "
                  "up to a quarter of the machine's memory)")
      ->check(positive);
  add_cache_flags(verb, f.engine.cache);
  add_speculation_flags(verb, f.speculation);
  verb.add_flag("--no-cache-prompt", f.no_reuse, "Compute every prompt from its beginning");
}

}  // namespace

void add_serve(CLI::App& app) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb = app.add_subcommand("serve", "OpenAI-compatible API and web chat");
  verb->footer(
      "Open the address that is printed in a browser, or point an OpenAI client at ADDRESS/v1.\n"
      "SIGTERM or Ctrl-C lets running answers end; a second one does not.");
  verb->add_option("-m,--model", flags->models,
                   "Model folder or GGUF file, or NAME=DIR; may be given several times: requests "
                   "say which by \"model\"")
      ->required()
      ->allow_extra_args(false);
  verb->add_option("-a,--alias", flags->alias, "Name of the model (default: the folder's)");
  verb->add_option("--host", flags->http.host, "Address to listen on")->capture_default_str();
  verb->add_option("--port", flags->http.port, "Port; 0: any free one")->capture_default_str();
  verb->add_option("--api-key", flags->keys,
                   "Key that clients must send; may be given several times (also: environment "
                   "STEPSTONE_API_KEY)")
      ->allow_extra_args(false);
  verb->add_option("--api-key-file", flags->key_file,
                   "File with one key per line, then, if wanted, name=NAME tokens-per-day=N");
  verb->add_option("--usage-file", flags->usage_file,
                   "SQLite file in which tokens are counted by key and day (default: in memory)");
  verb->add_option("--conversations-file", flags->conversations_file,
                   "SQLite file in which the web page's conversations are kept (default: "
                   "$STEPSTONE_HOME/conversations.db)");
  verb->add_flag("--no-conversations", flags->no_conversations, "Keep none")
      ->excludes("--conversations-file");
  verb->add_option(
      "--runs-file", flags->runs_file,
      "Registry of the runs that the page Runs shows (default: $STEPSTONE_HOME/runs.db)");
  verb->add_flag("--no-runs", flags->no_runs, "Show none")->excludes("--runs-file");
  verb->add_option("--ssl-cert-file", flags->http.certificate_file,
                   "PEM file with the certificate and its chain: serve https");
  verb->add_option("--ssl-key-file", flags->http.key_file, "PEM file with the certificate's key");
  add_engine_flags(*verb, *flags);
  verb->add_option("--timeout", flags->timeout_seconds, "Seconds for a whole answer")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str();
  verb->add_option("--drain-timeout", flags->drain_seconds,
                   "Seconds that running answers get to end in after SIGTERM")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
