// `stepstone speedrun`: everything once. Data → tokenizer → pretraining → chat tuning → evaluation
// → a chat transcript and a report.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "infer/eval_tasks.h"
#include "io/html_report.h"
#include "train/trainer.h"

namespace stepstone {

struct SpeedrunOptions {
  std::filesystem::path out;  // base/ and chat/ (the two stones), data/, report.html
  // The user's own texts; the synthetic curriculum is mixed in so that the result can chat. Empty:
  // the curriculum alone.
  std::vector<std::string> corpus;
  double minutes = 4;  // of training in all: 35 % pretraining, 65 % tuning
  std::uint64_t seed = 1;
  int questions = 20;  // per task and language
  bool quiet = false;
  bool resume = false;  // go on with what is in `out`
};

struct SpeedrunResult {
  TrainOutcome pretraining, tuning;
  TaskReport tasks;
  std::vector<ReportMessage> transcript;
  double seconds = 0;
  int signal = 0;  // of the stop signal, when one ended it early
};

// Throws UsageError when `out` is not empty and not to be resumed.
SpeedrunResult speedrun(const SpeedrunOptions& options);

}  // namespace stepstone
