// A run as a page: figures, curves, samples and the recipe.
#pragma once

#include "io/html_report.h"
#include "train/recipe.h"
#include "train/run_log.h"
#include "train/trainer.h"

namespace stepstone {

ReportData training_report(const Recipe& recipe, const Transformer& model,
                           const TrainOutcome& outcome, const RunLog& log);

// The curves of log.jsonl: loss, speed, learning rate and gradient norm.
std::vector<ReportChart> training_charts(std::span<const Json> entries);

}  // namespace stepstone
