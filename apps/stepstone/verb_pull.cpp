// stepstone pull OWNER/NAME[@REVISION] [--include GLOB…]
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>

#include "hub/pull.h"
#include "io/json.h"
#include "output.h"
#include "train/stop_signal.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct PullFlags {
  std::string name, endpoint;
  std::vector<std::string> include;
  bool quiet = false, json = false;
};

Url endpoint_of(const PullFlags& flags) {
  const char* variable = std::getenv("HF_ENDPOINT");
  std::string address = !flags.endpoint.empty() ? flags.endpoint : variable ? variable : "";
  require<UsageError>(!address.empty(),
                      "no hub is set: give its address by --endpoint or in HF_ENDPOINT");
  while (address.ends_with('/')) address.pop_back();
  return parse_url(address);
}

std::string token_for(const Url& endpoint) {
  std::string token = hub_token();
  if (!token.empty() && !endpoint.tls && !is_loopback(endpoint)) {
    put_note("note: the token is left out: it is not sent over http\n");
    token.clear();
  }
  return token;
}

// One line that is overwritten where somebody is watching; else a line per file.
class ProgressLine {
 public:
  void show(const PullProgress& p) {
    const auto now = Clock::now();
    if (p.file != file_) {
      file_ = p.file;
      begin_ = now;
      first_ = p.done;
    }
    const bool last = p.done == p.size;
    if (terminal_ && (last || now - shown_ > std::chrono::milliseconds(100))) {
      shown_ = now;
      const std::chrono::duration<double> took = now - begin_;
      const double rate = static_cast<double>(p.done - first_) / std::max(took.count(), 1e-3);
      put_note(fmt::format("\r\x1b[K{}/{} {}: {:.0f} % of {:.1f} MB, {:.1f} MB/s{}", p.index,
                           p.files, p.file, p.size == 0 ? 100.0 : 100.0 * p.done / p.size,
                           p.size / 1e6, rate / 1e6, last ? "\n" : ""));
    } else if (!terminal_ && last && p.file != told_) {
      told_ = p.file;
      put_note(fmt::format("{}/{} {}: {:.1f} MB\n", p.index, p.files, p.file, p.size / 1e6));
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::string file_, told_;
  Clock::time_point begin_, shown_;
  std::uint64_t first_ = 0;
};

void run(const PullFlags& flags) {
  const auto name = parse_hub_name(flags.name);
  require<UsageError>(name.has_value(), "\"{}\": expected OWNER/NAME or OWNER/NAME@REVISION",
                      flags.name);
  PullOptions options;
  options.offline = hub_is_offline();
  options.cache = hub_cache_folder();
  options.include = flags.include;
  if (!options.offline) {
    options.endpoint = endpoint_of(flags);
    options.token = token_for(options.endpoint);
  }
  ProgressLine line;
  if (!flags.quiet) options.on_progress = [&](const PullProgress& p) { line.show(p); };
  options.on_note = [](const std::string& note) { put_note(note + "\n"); };
  const StopSignal stop;
  options.stopped = [] { return StopSignal::received() != 0; };
  const PullResult result = pull(*name, options);
  if (result.stopped) {
    put_note("\nstopped; the same command goes on where it ended\n");
    exit_status = 128 + StopSignal::received();
    return;
  }
  if (!result.left_out.empty() && !flags.quiet) {
    put_note(fmt::format("note: {} other files were left out (--include takes globs)\n",
                         result.left_out.size()));
  }
  if (flags.json) {
    const Json json = {{"model", name->repository()},          {"commit", result.commit},
                       {"folder", result.folder.string()},     {"files", result.files},
                       {"left_out", result.left_out},          {"bytes", result.bytes},
                       {"fetched_bytes", result.fetched_bytes}};
    return put_out(dump_json(json) + "\n");
  }
  put_out(result.folder.string() + "\n");
}

}  // namespace

void add_pull(CLI::App& app) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* verb = app.add_subcommand("pull", "Fetch a model from a Hugging Face-style hub");
  verb->footer(
      "Prints the model's folder; -m OWNER/NAME finds it from then on. The cache is the one of\n"
      "Python's huggingface_hub. Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE,\n"
      "HF_HUB_OFFLINE.");
  verb->add_option("name", flags->name, "OWNER/NAME or OWNER/NAME@REVISION")->required();
  verb->add_option("--include", flags->include,
                   "Only files that match this glob; may be given several times (default: "
                   "configuration, tokenizer and weights)")
      ->allow_extra_args(false);
  verb->add_option("--endpoint", flags->endpoint, "Address of the hub (default: $HF_ENDPOINT)");
  verb->add_flag("-q,--quiet", flags->quiet, "No progress on standard error");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
