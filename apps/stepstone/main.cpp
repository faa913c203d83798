// stepstone VERB [flags]. Exit status: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal
// n.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "backend/cpu/isa.h"
#include "core/error.h"
#include "core/suggest.h"
#include "core/threads.h"
#include "core/version.h"
#include "flag_rules.h"
#include "io/mapped_file.h"
#include "output.h"
#include "verbs.h"

namespace {

int complain(const char* text, int status) {
  std::fprintf(stderr, "stepstone: %s\n", text);
  return status;
}

// `status`, unless what was printed could not be written.
int flushed(int status) {
  errno = 0;
  std::cout.flush();
  const bool lost = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout;
  if (!lost || status != 0) return status;
  return errno == EPIPE ? 1 : complain("standard output: could not be written", 1);
}

// CLI11 says "argument not expected"; a slip in a verb deserves better.
std::string verb_hint(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  std::vector<std::string> verbs;
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (sub->get_name() == argv[1]) return {};
    verbs.push_back(sub->get_name());
  }
  return std::string("unknown verb \"") + argv[1] + "\"" + stepstone::did_you_mean(argv[1], verbs) +
         "; see stepstone --help";
}

// CLI11 knows no flags of two or three letters, which llama.cpp has.
std::string long_flag(std::string arg) {
  if (arg == "-md") return "--model-draft";
  if (arg == "-ctk") return "--cache-type-k";
  if (arg == "-ctv") return "--cache-type-v";
  return arg;
}

}  // namespace

int main(int argc, char** argv) {
  // A run must not end because nobody reads its progress any more; put_out() notices where it is
  // the result that nobody reads.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"Stepstone: train, tune, measure and talk to language models on your own machine"};
  app.name("stepstone");
  app.set_version_flag("--version", std::string("stepstone ") + stepstone::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  int threads = 0;
  app.add_option("-t,--threads", threads, "Compute threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  app.parse_complete_callback([&] {
    if (threads > 0) stepstone::set_num_threads(threads);
  });
  using namespace stepstone::cli;
  try {
    stepstone::exit_on_lost_mapping();
    stepstone::cpu::isa();  // before any kernel: it decides the instruction set
    for (auto* add : {add_speedrun, add_data, add_tokenizer, add_train, add_tune, add_eval,
                      add_generate, add_chat, add_serve, add_runs, add_bench, add_import,
                      add_export, add_quantize, add_pull}) {
      add(app);
    }
    apply_flag_rules(app);
    std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
    for (std::string& arg : args) arg = long_flag(std::move(arg));
    std::ranges::reverse(args);
    app.parse(std::move(args));
    return flushed(exit_status);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return flushed(app.exit(e));  // --help, --version
    if (const std::string hint = verb_hint(app, argc, argv); !hint.empty()) {
      return complain(hint.c_str(), 2);
    }
    return complain(complaint(e, app).c_str(), 2);
  } catch (const OutputClosed&) {
    return 1;
  } catch (const stepstone::UsageError& e) {
    return complain(e.what(), 2);
  } catch (const stepstone::Error& e) {
    return complain(e.what(), 1);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", 1);
  } catch (const std::exception& e) {
    return complain(e.what(), 1);
  }
}
