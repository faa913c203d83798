#include "infer/eval_tasks.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "infer/chat_session.h"

namespace stepstone {
namespace {

constexpr std::size_t kWidth = 32;  // questions at a time

// The wording in which synthetic documents show questions to a model that reads before it talks.
// No space at the end: tokens of words begin with theirs.
std::string as_text(const EvalItem& item) {
  const bool english = item.language == Language::en;
  const std::string question = english ? "Question: " : "问题：";
  const std::string answer = english ? "\nAnswer:" : "\n回答：";
  std::string text;
  for (const Message& message : item.messages) {
    if (message.role == "user") {
      text += question + message.content;
    } else {
      text += answer + (english ? " " : "") + message.content + '\n';
    }
  }
  return text + answer;
}

void add(std::vector<TaskScore>& scores, std::string_view task, std::string_view language,
         bool right) {
  auto it = std::ranges::find_if(
      scores, [&](const TaskScore& s) { return s.task == task && s.language == language; });
  if (it == scores.end()) {
    scores.push_back({std::string(task), std::string(language), 0, 0});
    it = scores.end() - 1;
  }
  it->right += right;
  ++it->total;
}

Json score_json(const TaskScore& s) {
  const Interval interval = s.interval();
  return {{"task", s.task},       {"language", s.language},   {"right", s.right},
          {"total", s.total},     {"accuracy", s.accuracy()}, {"low", interval.low},
          {"high", interval.high}};
}

}  // namespace

Interval wilson_interval(std::int64_t right, std::int64_t total) {
  if (total <= 0) return {};
  constexpr double kZ = 1.959963984540054;  // the normal distribution's 97.5 % point
  const auto n = static_cast<double>(total);
  const double p = static_cast<double>(right) / n, z2 = kZ * kZ;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

TaskReport evaluate_tasks(const Stone& stone, const TaskEvalOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  require<UsageError>(options.questions > 0, "the number of questions must be at least 1");
  std::optional<ChatTemplate> chat;
  if (is_chat_model(stone)) chat = chat_template(stone);
  TaskReport report;
  std::vector<std::vector<std::int32_t>> prompts;
  SynthOptions synth_options;
  synth_options.level = options.level;
  const Synth synth(synth_options);
  for (const std::string& task : options.tasks.empty() ? synth_tasks() : options.tasks) {
    for (const Language language : options.languages) {
      for (EvalItem& item :
           synth.questions(task, language, options.split, options.questions, options.seed)) {
        prompts.push_back(chat ? chat->render(item.messages, true).ids
                               : prompt_tokens(stone.tokenizer, as_text(item)));
        report.answers.push_back({std::move(item), {}, false});
      }
    }
  }
  EngineRequest request;
  request.max_tokens = options.max_tokens;
  request.sampling.temperature = 0;
  request.stop_tokens = stone.end_tokens;
  request.when_full = WhenFull::stop;
  if (!chat) request.stop_strings = {"\n"};
  GenerateHooks hooks;
  if (options.progress) {
    hooks.progress = [&](std::size_t done) { options.progress(done, prompts.size()); };
  }
  Generator generator(*stone.model, stone.tokenizer, stone.compute,
                      {.width = kWidth, .cache = options.cache});
  const auto replies = generator.generate_all(prompts, request, hooks);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    TaskAnswer& answer = report.answers[i];
    answer.reply = replies[i].text;
    answer.right = is_correct(answer.item, answer.reply);
    add(report.scores, answer.item.task, name(answer.item.language), answer.right);
  }
  for (const Language language : options.languages) {
    for (const TaskAnswer& a : report.answers) {
      if (a.item.language == language) add(report.sums, "all", name(language), a.right);
    }
  }
  for (const TaskAnswer& a : report.answers) add(report.sums, "all", "all", a.right);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

Json to_json(const TaskReport& report) {
  Json tasks = Json::array(), sums = Json::array();
  for (const TaskScore& s : report.scores) tasks.push_back(score_json(s));
  for (const TaskScore& s : report.sums) sums.push_back(score_json(s));
  return {{"tasks", tasks}, {"sums", sums}, {"seconds", report.seconds}};
}

std::string to_table(const TaskReport& report) {
  std::string out = fmt::format("{:<12} {:<4} {:>9} {:>8}   {}\n", "task", "lang", "right", "share",
                                "95 % interval");
  const auto line = [&out](const TaskScore& s) {
    const Interval interval = s.interval();
    out += fmt::format("{:<12} {:<4} {:>9} {:>6.1f} %   {:.1f} – {:.1f} %\n", s.task, s.language,
                       fmt::format("{}/{}", s.right, s.total), 100 * s.accuracy(),
                       100 * interval.low, 100 * interval.high);
  };
  for (const TaskScore& s : report.scores) line(s);
  out += '\n';
  for (const TaskScore& s : report.sums) line(s);
  return out;
}

}  // namespace stepstone
