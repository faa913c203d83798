// stepstone eval -m DIR [--data FILE…] [--task NAME…]
#include "cache_flags.h"
#include "infer/eval_tasks.h"
#include "infer/eval_text.h"
#include "infer/perplexity.h"
#include "io/run_registry.h"
#include "output.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct EvalFlags {
  std::string model;
  TextEvalOptions text;
  TaskEvalOptions tasks;
  PerplexityOptions windows;
  CacheTypes cache;
  bool perplexity = false;
  std::vector<std::string> languages;
  std::string split = "test";
  bool json = false, verbose = false;
};

void print_answers(const TaskReport& report) {
  for (const TaskAnswer& a : report.answers) {
    put_note(fmt::format("{} {} {}: {}\n    expected {}\n    got      {}\n",
                         a.right ? "right" : "WRONG", a.item.task, name(a.item.language),
                         a.item.messages.back().content, a.item.answer, a.reply));
  }
}

// The scores join the run's row where this machine's registry knows the run.
void record(const EvalFlags& flags, const Json& scores) try {
  if (!std::filesystem::exists(RunRegistry::default_path())) return;
  RunRegistry registry;
  const auto run = registry.find_by_folder(flags.model);
  if (!run) return;
  Json all = run->scores;
  all.update(scores);
  registry.set_scores(run->id, all);
} catch (const Error& error) {
  put_note(fmt::format("note: the run registry was not updated: {}\n", error.what()));
}

void run(const EvalFlags& flags) {
  Stone stone = load_stone(flags.model, Weights::as_stored);
  stone.model->pack(stone.compute);
  Json json = {{"model", flags.model}}, scores = Json::object();
  if (flags.perplexity) {
    PerplexityOptions options = flags.windows;
    options.cache = flags.cache;
    options.context = flags.text.context > 0
                          ? flags.text.context
                          : std::min(options.context, stone.model->config().max_positions);
    const auto texts = measure_perplexity(stone, flags.text.paths, options);
    json["perplexity"] = to_json(texts);
    for (const auto& [file, score] : texts) scores["perplexity"][file] = score.perplexity;
    if (!flags.json) put_out(to_table(texts));
  } else if (!flags.text.paths.empty()) {
    TextEvalOptions options = flags.text;
    options.cache = flags.cache;
    const auto texts = evaluate_text(stone, options);
    json["text"] = to_json(texts);
    for (const TextScore& t : texts) {
      if (const auto bits = t.evaluation.bits_per_byte) scores["bits_per_byte"][t.file] = *bits;
    }
    if (!flags.json) put_out(to_table(texts));
  }
  if (flags.text.paths.empty() || !flags.tasks.tasks.empty()) {
    TaskEvalOptions options = flags.tasks;
    options.cache = flags.cache;
    options.split = parse_split(flags.split);
    if (!flags.languages.empty()) {
      options.languages.clear();
      for (const std::string& l : flags.languages) options.languages.push_back(parse_language(l));
    }
    const TaskReport report = evaluate_tasks(stone, options);
    if (flags.verbose) print_answers(report);
    json.update(to_json(report));
    for (const TaskScore& s : report.sums) {
      scores[s.language == "all" ? "accuracy" : "accuracy_" + s.language] = s.accuracy();
    }
    if (!flags.json) put_out(to_table(report));
  }
  record(flags, scores);
  if (flags.json) put_out(dump_json(json) + "\n");
}

}  // namespace

void add_eval(CLI::App& app) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* verb = app.add_subcommand("eval", "Measure a model on texts and tasks");
  verb->footer("Without --data and --task: all tasks.");
  verb->add_option("-m,--model", flags->model,
                   "Model folder, GGUF file, or OWNER/NAME of a pulled model")
      ->required();
  auto* data = verb->add_option("--data", flags->text.paths,
                                "Files, folders or globs: loss and bits per byte of each file");
  auto* perplexity = verb->add_flag("--perplexity", flags->perplexity,
                                    "Of --data, over windows of -c tokens (default: 512) as "
                                    "llama.cpp's perplexity tool cuts them");
  perplexity->needs(data);
  verb->add_option("--ppl-stride", flags->windows.stride,
                   "Distance of windows; of each, as many last tokens count (default: windows "
                   "side by side, of which the second half counts)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
      ->needs(perplexity);
  verb->add_option("--chunks", flags->windows.chunks, "Windows at most (default: all)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
      ->needs(perplexity);
  verb->add_option("--mode", flags->text.mode,
                   "documents, or windows of one stream (default: as the model was trained)");
  verb->add_option("-c,--ctx-size", flags->text.context,
                   "Tokens per row (default: the model's; with --perplexity 512)");
  verb->add_option("--task", flags->tasks.tasks,
                   fmt::format("Of {}", fmt::join(synth_tasks(), ", ")));
  verb->add_option("--lang", flags->languages, "en, zh (default: both)");
  verb->add_option("-n,--questions", flags->tasks.questions, "Questions per task and language")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  verb->add_option("--level", flags->tasks.level, "Difficulty of the tasks: 0, 1 or 2")
      ->check(CLI::Range(0, 2))
      ->capture_default_str();
  verb->add_option("--split", flags->split, "train, val, test: which part of the questions")
      ->capture_default_str();
  verb->add_option("-s,--seed", flags->tasks.seed, "Which questions")->capture_default_str();
  add_cache_flags(*verb, flags->cache);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->add_flag("-v,--verbose", flags->verbose, "Every question and answer, on standard error");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
