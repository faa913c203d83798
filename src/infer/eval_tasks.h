// How many held-out questions a model answers right.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/synth.h"
#include "io/json.h"
#include "stone/stone.h"

namespace stepstone {

struct Interval {
  double low = 0, high = 1;
};

// Of a share of right answers: Wilson's score interval (Wilson 1927, JASA 22:209), 95 %. It keeps
// to [0, 1] and is honest for few questions and for none wrong. [0, 1] for no questions.
Interval wilson_interval(std::int64_t right, std::int64_t total);

struct TaskEvalOptions {
  std::vector<std::string> tasks = {};  // of synth_tasks(); empty: all
  std::vector<Language> languages = {Language::en, Language::zh};
  int questions = 20;  // per task and language
  std::uint64_t seed = 1;
  Split split = Split::test;      // train and val share no question with it
  int level = 0;                  // of the synthetic world
  std::int64_t max_tokens = 128;  // of an answer
  CacheTypes cache = {};
  std::function<void(std::size_t done, std::size_t total)> progress = {};
};

struct TaskAnswer {
  EvalItem item;
  std::string reply;
  bool right = false;
};

struct TaskScore {
  std::string task;      // "all" in a sum over tasks
  std::string language;  // "en", "zh", or "all"
  std::int64_t right = 0, total = 0;

  double accuracy() const { return total > 0 ? static_cast<double>(right) / total : 0; }
  Interval interval() const { return wilson_interval(right, total); }
};

struct TaskReport {
  std::vector<TaskScore> scores;  // by task, then language, in the order asked for
  std::vector<TaskScore> sums;    // one per language, then of all
  std::vector<TaskAnswer> answers;
  double seconds = 0;
};

// Asks a chat model in its chat format, any other as "Question: …\nAnswer: " to be continued for a
// line. Greedy, so the same every time. Throws UsageError for an unknown task.
TaskReport evaluate_tasks(const Stone& stone, const TaskEvalOptions& options);

Json to_json(const TaskReport& report);  // without the answers
// A table for people, right shares in percent.
std::string to_table(const TaskReport& report);

}  // namespace stepstone
