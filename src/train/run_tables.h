// The run registry for people and for programs: lists, differences, family trees.
#pragma once

#include <string>
#include <vector>

#include "io/run_registry.h"

namespace stepstone {

Json to_json(const RunRecord& run);

// One line per run: number, name, kind, state, start, duration, best-known numbers, folder.
std::string runs_table(const std::vector<RunRecord>& runs);
// Everything about one run.
std::string run_text(const RunRecord& run);

// A field in which two runs differ; null where one does not have it.
struct RunDifference {
  std::string field;  // "recipe.optim.lr", "scores.val_loss", …
  Json first, second;
};
// Recipe, data, code, seed, metrics and scores, leaf by leaf, in this order.
std::vector<RunDifference> run_differences(const RunRecord& a, const RunRecord& b);
std::string differences_table(const RunRecord& a, const RunRecord& b);

// The run and its ancestors, children above their parents, indented. `ancestors` as
// RunRegistry::lineage gives them; a run that was shown before is not opened again.
std::string lineage_tree(const std::vector<RunRecord>& ancestors);

// The run that `text` means: its number, or its folder. Throws UsageError when there is none.
RunRecord find_run(RunRegistry& registry, const std::string& text);

}  // namespace stepstone
