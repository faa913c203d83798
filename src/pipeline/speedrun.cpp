#include "pipeline/speedrun.h"

#include <fcntl.h>

#include <chrono>

#include "core/note.h"
#include "data/readers.h"
#include "data/synth_files.h"
#include "infer/chat_session.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "pipeline/speedrun_recipes.h"
#include "stone/stone.h"
#include "train/finetune.h"
#include "train/pretrain.h"
#include "train/report.h"
#include "train/run_log.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

// Enough that no document is seen twice in the default minutes.
constexpr std::int64_t kDocumentBytes = 6 << 20;
constexpr std::int64_t kChatBytes = 6 << 20;
constexpr double kPretrainShare = 0.35;

class Speedrun {
 public:
  explicit Speedrun(const SpeedrunOptions& options) : options_(options) {}

  SpeedrunResult run() {
    const auto start = std::chrono::steady_clock::now();
    require<UsageError>(
        options_.resume || !fs::exists(options_.out) || fs::is_empty(options_.out),
        "{}: is not empty; go on with it by --resume, or name another folder with --out",
        options_.out.string());
    check_corpus();
    fs::create_directories(options_.out);
    make_data();
    pretrain_base();
    if (result_.signal == 0) tune_chat();
    if (result_.signal == 0) examine();
    const std::chrono::duration<double> d = std::chrono::steady_clock::now() - start;
    result_.seconds = d.count();
    if (result_.signal == 0) write_page();
    return std::move(result_);
  }

 private:
  void say(const std::string& line) const {
    if (!options_.quiet) put_note(fmt::format("\n== {}\n", line));
  }
  fs::path path(const char* name) const { return options_.out / name; }

  // Before any work, and before the folder is there: what cannot be read, and what holds no
  // document.
  void check_corpus() const {
    for (const std::string& path : options_.corpus) {
      const auto files = find_corpus_files(std::span(&path, 1));
      for (const fs::path& file : files) File::open(file, O_RDONLY);  // refuses a named pipe
      Document first;
      DocumentReader(files).next(first);
    }
  }

  void make_data() {
    say("data: a synthetic curriculum in English and Chinese");
    fs::create_directories(path("data"));
    SynthOptions synth_options;
    synth_options.seed = options_.seed;
    const Synth synth(synth_options);
    write_synth_documents(documents(), synth, Split::train, {.bytes = kDocumentBytes});
    write_synth_chats(chats(), synth, Split::train, {.bytes = kChatBytes});
  }

  Recipe recipe(const char* name, const std::string& text) const {
    write_file(path(name), text);
    return parse_recipe(ConfigTable::parse(text, name, {}), fs::path(name).stem().string());
  }

  void pretrain_base() {
    say("pretraining");
    PretrainRequest request;
    request.recipe = recipe("pretrain.toml", speedrun_pretrain_recipe(
                                                 options_.minutes * kPretrainShare, options_.seed));
    request.recipe.data.paths = {documents(), chats()};
    if (!options_.corpus.empty()) {
      request.recipe.data.paths.insert(request.recipe.data.paths.begin(), options_.corpus.begin(),
                                       options_.corpus.end());
      request.recipe.data.weights.assign(options_.corpus.size(),
                                         0.7 / static_cast<double>(options_.corpus.size()));
      request.recipe.data.weights.insert(request.recipe.data.weights.end(), {0.1, 0.2});
    }
    request.out = path("base");
    request.resume = options_.resume;
    request.quiet = options_.quiet;
    result_.pretraining = pretrain(request);
    result_.signal = result_.pretraining.signal;
  }

  void tune_chat() {
    say("chat tuning");
    FinetuneRequest request;
    request.recipe = recipe(
        "tune.toml", speedrun_tune_recipe(options_.minutes * (1 - kPretrainShare), options_.seed));
    request.recipe.data.paths = {chats()};
    request.stone = path("base");
    request.out = path("chat");
    request.resume = options_.resume;
    request.quiet = options_.quiet;
    result_.tuning = finetune(request);
    result_.signal = result_.tuning.signal;
  }

  void examine() {
    say("evaluation: questions that were not in the training data");
    Stone stone = load_stone(path("chat"), Weights::as_stored);
    Generator generator(stone);
    TaskEvalOptions eval;
    eval.questions = options_.questions;
    eval.seed = options_.seed;
    result_.tasks = evaluate_tasks(stone, eval);
    if (!options_.quiet) put_note(to_table(result_.tasks));
    EngineRequest greedy;
    greedy.sampling.temperature = 0;
    greedy.max_tokens = 64;
    ChatSession chat(stone, generator, greedy);
    for (const Language language : {Language::en, Language::zh}) {
      for (const std::string& task : synth_tasks()) {
        const auto items = synth_eval(task, language, 1, options_.seed + 17);
        if (items.empty() || items[0].messages.size() != 1) continue;
        chat.reset();
        ask(chat, items[0].messages[0].content);
      }
    }
  }

  void ask(ChatSession& chat, const std::string& question) {
    const auto reply = chat.ask(question, [](std::string_view) {});
    result_.transcript.push_back({"user", question});
    result_.transcript.push_back({"assistant", reply.generation.text});
  }

  void write_page() const {
    RunLog base(path("base"), true), chat(path("chat"), true);
    ReportData data;
    data.title = "Speedrun";
    data.subtitle =
        fmt::format("from nothing to a model that chats in {:.1f} minutes", result_.seconds / 60);
    const TaskScore all = result_.tasks.sums.back();
    const auto bits = result_.pretraining.validation.bits_per_byte;
    data.figures = {
        {"right answers", fmt::format("{:.1f} %", 100 * all.accuracy()),
         fmt::format("of {} held-out questions", all.total)},
        {"bits per byte", bits ? fmt::format("{:.3f}", *bits) : "-", "base model, validation"},
        {"tokens",
         fmt::format("{:.2f} M",
                     static_cast<double>(result_.pretraining.tokens + result_.tuning.tokens) / 1e6),
         "pretraining and tuning"},
        {"minutes", fmt::format("{:.1f}", result_.seconds / 60), "in all"},
    };
    for (auto& [log, name] : {std::pair{&base, "Pretraining"}, std::pair{&chat, "Tuning"}}) {
      for (ReportChart& chart : training_charts(log->read())) {
        chart.title = fmt::format("{}: {}", name, chart.title);
        data.charts.push_back(std::move(chart));
      }
    }
    for (const auto& scores : {result_.tasks.scores, result_.tasks.sums}) {
      for (const TaskScore& s : scores) {
        const Interval i = s.interval();
        // Rounding may leave an end a hair inside of an extreme share.
        data.scores.push_back({fmt::format("{} · {}", s.task, s.language), s.accuracy(),
                               std::min(i.low, s.accuracy()), std::max(i.high, s.accuracy()),
                               fmt::format("{} questions", s.total)});
      }
    }
    data.chat = result_.transcript;
    data.config = read_file(path("pretrain.toml")) + "\n" + read_file(path("tune.toml"));
    write_report(path("report.html"), data);
  }

  std::string documents() const { return path("data/documents.jsonl").string(); }
  std::string chats() const { return path("data/chats.jsonl").string(); }

  const SpeedrunOptions& options_;
  SpeedrunResult result_;
};

}  // namespace

SpeedrunResult speedrun(const SpeedrunOptions& options) { return Speedrun(options).run(); }

}  // namespace stepstone
