// What pretraining and tuning share: the run folder, the registry entry, the loop with its
// callbacks, the artefact and the report.
#pragma once

#include <filesystem>
#include <optional>

#include "io/file.h"
#include "train/corpus.h"
#include "train/pretrain.h"

namespace stepstone {

struct RunSession {
  std::string kind;  // "pretrain" or "tune"
  std::filesystem::path out;
  bool resume = false;
  bool quiet = false;
  SampleFn sample;
  Profiler* profiler = nullptr;
  std::string chat_template;
  std::vector<std::filesystem::path> parents;  // folders of the stones that it comes from
};

// What a finished run in this folder came to, from its stepstone.json; nothing when there is none.
std::optional<TrainOutcome> finished_run(const std::filesystem::path& out);

// A run's folder, held by this process alone while the object lives.
class RunFolder {
 public:
  // Makes the folder. Throws UsageError when it already holds a run that is not to be resumed, or
  // when another process is at work in it.
  RunFolder(const std::filesystem::path& out, bool resume);

 private:
  File lock_;
};

// Trains `model` on `corpus` and leaves the artefact and report.html in the run's folder. A run
// stopped by a signal leaves a checkpoint. A resumed run must have the recipe (but for its length
// and what it reports) and the data that it began with: else UsageError. One that has finished, and
// is not to be longer now, is left as it is.
TrainOutcome run_training(const RunSession& session, const Recipe& recipe, Transformer& model,
                          const Corpus& corpus);

}  // namespace stepstone
