// stepstone generate -m DIR -p TEXT [-n N …]
#include <unistd.h>

#include "data/utf8.h"
#include "generate_flags.h"
#include "io/file.h"
#include "io/utf8.h"
#include "output.h"
#include "train/stop_signal.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

constexpr std::uint64_t kMaxPromptFile = std::uint64_t{256} << 20;

struct PromptFlags : GenerateFlags {
  std::string prompt, file;
  bool echo = false, json = false, verbose = false, ignore_eos = false;
};

void print_json(const PromptFlags& flags, const std::string& prompt, const Generation& made) {
  const Json json = {{"model", flags.model},
                     {"prompt", to_utf8_lossy(prompt)},
                     {"text", made.text},
                     {"tokens", made.tokens},
                     {"stopped_by", name_of(made.reason)},
                     {"stats", to_json(made.usage)}};
  put_out(dump_json(json) + "\n");
}

void print_usage(const EngineUsage& u) {
  put_note(
      fmt::format("prompt: {} tokens, {:.1f} per second | text: {} tokens, {:.1f} per second\n",
                  u.prompt_tokens, prefill_rate(u), u.completion_tokens, decode_rate(u)));
  if (u.drafted_tokens > 0) {
    put_note(
        fmt::format("guessed: {} tokens, {} of them right\n", u.drafted_tokens, u.accepted_tokens));
  }
}

void run(const PromptFlags& flags) {
  flags.request.sampling.validate();
  const std::string prompt =
      flags.file.empty() ? flags.prompt : read_input(flags.file, kMaxPromptFile);
  require_utf8(prompt, flags.file.empty()  ? "--prompt"
                       : flags.file == "-" ? "standard input"
                                           : flags.file);
  Stone stone = load_stone(flags.model, Weights::as_stored);
  Generator generator(stone, flags.generator());
  note_context(flags.context, generator.context(), stone.model->config());
  EngineRequest request = flags.request_for(stone.tokenizer);
  request.prompt = prompt_tokens(stone.tokenizer, prompt);
  request.when_full = WhenFull::forget;
  if (!flags.ignore_eos) request.stop_tokens = stone.end_tokens;
  GenerateHooks hooks;
  if (!flags.json) {
    hooks.on_text = put_out;
    if (flags.echo) put_out(prompt);
  }
  const StopSignal stop;
  hooks.interrupted = [] { return StopSignal::received() != 0 || output_is_closed(); };
  const Generation made = generator.generate(std::move(request), hooks);
  if (flags.json) {
    print_json(flags, prompt, made);
  } else if (const auto& shown = made.text.empty() && flags.echo ? prompt : made.text;
             !shown.ends_with('\n')) {
    put_out("\n");
  }
  if (flags.verbose) print_usage(made.usage);
  if (made.usage.forgotten_tokens > 0) {
    put_note(fmt::format("note: the context holds {} tokens; the oldest {} were forgotten\n",
                         generator.context(), made.usage.forgotten_tokens));
  }
  if (made.reason == FinishReason::cancelled) exit_status = 128 + StopSignal::received();
}

}  // namespace

void add_generate(CLI::App& app) {
  auto flags = std::make_shared<PromptFlags>();
  CLI::App* verb = app.add_subcommand("generate", "Continue a text");
  verb->footer(
      "Prints the continuation alone; --echo puts the prompt before it. Past the model's context\n"
      "the older half of the text is forgotten, and generation goes on.");
  auto* prompt = verb->add_option("-p,--prompt", flags->prompt,
                                  "The text to continue (default: begin a new text)");
  verb->add_option("-f,--file", flags->file, "Read the prompt from a file; -: standard input")
      ->excludes(prompt);
  add_generate_flags(*verb, *flags);
  verb->add_flag("--ignore-eos", flags->ignore_eos, "Go on past the end of the document");
  verb->add_flag("--echo", flags->echo, "Print the prompt too");
  verb->add_flag("--json", flags->json, "Print one JSON object with text, tokens and speed");
  verb->add_flag("-v,--verbose", flags->verbose, "Speed, on standard error");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
