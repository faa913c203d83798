// Flags of verbs that may guess tokens ahead, named as llama.cpp names them.
#pragma once

#include <CLI/CLI.hpp>

#include "infer/draft.h"

namespace stepstone::cli {

struct SpeculationFlags {
  SpeculationOptions options;
  std::string draft_model;

  // With the draft model read. Throws UsageError for limits that leave nothing to guess.
  SpeculationOptions load() const;
};

// `flags` must outlive the parsing.
void add_speculation_flags(CLI::App& verb, SpeculationFlags& flags);

}  // namespace stepstone::cli
