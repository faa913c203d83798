// stepstone chat -m DIR
#include <signal.h>
#include <unistd.h>

#include <csignal>

#include "data/utf8.h"
#include "generate_flags.h"
#include "infer/chat_console.h"
#include "output.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

volatile std::sig_atomic_t interrupts = 0;

// Ctrl-C becomes a flag for as long as this lives, and ends a read that waits.
class Interrupts {
 public:
  Interrupts() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupts = 1; };
    sigaction(SIGINT, &action, &previous_);
  }
  ~Interrupts() { sigaction(SIGINT, &previous_, nullptr); }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  static bool take() {
    const bool was = interrupts != 0;
    interrupts = 0;
    return was;
  }

 private:
  struct sigaction previous_ {};
};

struct ChatFlags : GenerateFlags {
  std::string system;
  bool verbose = false;
};

void run(const ChatFlags& flags) {
  flags.request.sampling.validate();
  require_utf8(flags.system, "--system");
  Stone stone = load_stone(flags.model, Weights::as_stored);
  Generator generator(stone, flags.generator());
  note_context(flags.context, generator.context(), stone.model->config());
  ChatSession session(stone, generator, flags.request_for(stone.tokenizer));
  session.set_system(flags.system);
  InputLines input(STDIN_FILENO);
  const ChatConsole console{.read = [&](std::string& line) { return input.next(line); },
                            .out = put_out,
                            .notes = put_note,
                            .interrupted = Interrupts::take,
                            .terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0,
                            .verbose = flags.verbose};
  const Interrupts handler;
  switch (run_chat(session, console)) {
    case ChatEnd::done:
      break;
    case ChatEnd::failed:
      exit_status = 1;
      break;
    case ChatEnd::interrupted:
      exit_status = 128 + SIGINT;
      break;
  }
}

}  // namespace

void add_chat(CLI::App& app) {
  auto flags = std::make_shared<ChatFlags>();
  flags->request.max_tokens = 512;
  CLI::App* verb = app.add_subcommand("chat", "Talk to a chat model");
  verb->footer(
      "Messages are read line by line from standard input; answers go to standard output, all "
      "else\n"
      "to standard error. /help lists the commands. Ctrl-C ends an answer, Ctrl-D the chat.\n"
      "Through a pipe the exit status is 1 when a line failed.");
  verb->add_option("--system", flags->system, "System message");
  add_generate_flags(*verb, *flags);
  verb->add_flag("-v,--verbose", flags->verbose, "Speed after each answer");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
