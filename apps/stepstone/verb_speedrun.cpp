// stepstone speedrun [--corpus PATH…] [--minutes N] [--out DIR]
#include <fmt/chrono.h>

#include <ctime>

#include "output.h"
#include "pipeline/speedrun.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

void print_result(const SpeedrunOptions& options, const SpeedrunResult& r) {
  put_out("\nA conversation with the model:\n\n");
  for (const ReportMessage& m : r.transcript) {
    put_out(fmt::format("{} {}\n", m.role == "user" ? ">" : " ", m.text));
  }
  const std::string out = options.out.string();
  put_out(fmt::format("\n{:.1f} % of {} held-out questions right, in {:.1f} minutes.\n",
                      100 * r.tasks.sums.back().accuracy(), r.tasks.sums.back().total,
                      r.seconds / 60));
  put_out(fmt::format("Report: {}/report.html\n\nTry next:\n", out));
  put_out(fmt::format("  build/release/stepstone chat -m {}/chat\n", out));
  put_out(
      fmt::format("  build/release/stepstone generate -m {}/base -p \"Once upon a time\"\n", out));
  put_out("  build/release/stepstone speedrun --corpus my-texts/ --minutes 10\n");
}

void print_json(const SpeedrunResult& r) {
  Json json = {{"seconds", r.seconds},
               {"pretrain_tokens", r.pretraining.tokens},
               {"tune_tokens", r.tuning.tokens},
               {"tasks", to_json(r.tasks)}};
  if (const auto bits = r.pretraining.validation.bits_per_byte) json["val_bpb"] = *bits;
  put_out(dump_json(json) + "\n");
}

}  // namespace

void add_speedrun(CLI::App& app) {
  struct Flags {
    SpeedrunOptions options;
    std::string out;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand(
      "speedrun", "Everything once: data, tokenizer, pretraining, tuning, evaluation, chat");
  verb->add_option("--corpus", flags->options.corpus, "Your own texts: files, folders or globs");
  verb->add_option("--minutes", flags->options.minutes, "Minutes of training in all")
      ->check(CLI::Range(0.05, 1e5))
      ->capture_default_str();
  verb->add_option("-o,--out", flags->out, "Folder for the results (default: runs/speedrun-DATE)");
  verb->add_option("--seed", flags->options.seed, "Seed of data and training")
      ->capture_default_str();
  verb->add_option("--questions", flags->options.questions, "Questions per task and language")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_flag("--resume", flags->options.resume, "Go on with a stopped run in --out")
      ->needs("--out");
  verb->add_flag("-q,--quiet", flags->options.quiet, "No progress on standard error");
  verb->add_flag("--json", flags->json, "Print the outcome as JSON");
  verb->callback([flags] {
    flags->options.out = flags->out.empty() ? fmt::format("runs/speedrun-{:%Y%m%d-%H%M%S}",
                                                          fmt::localtime(std::time(nullptr)))
                                            : flags->out;
    const SpeedrunResult result = speedrun(flags->options);
    if (result.signal != 0) {
      exit_status = 128 + result.signal;
    } else if (flags->json) {
      print_json(result);
    } else {
      print_result(flags->options, result);
    }
  });
}

}  // namespace stepstone::cli
