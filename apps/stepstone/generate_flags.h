// The flags of verbs that make text.
#pragma once

#include <CLI/CLI.hpp>

#include "infer/generator.h"
#include "speculation_flags.h"

namespace stepstone::cli {

struct GenerateFlags {
  std::string model;
  std::int64_t context = 0;
  EngineRequest request;
  std::vector<std::string> dry_breakers;
  CacheTypes cache;
  SpeculationFlags speculation;

  // What the flags say of sampling, for this tokenizer.
  EngineRequest request_for(const Tokenizer& tokenizer) const;
  // With the draft model read.
  GeneratorOptions generator() const {
    return {.context = context, .cache = cache, .speculation = speculation.load()};
  }
};

// Says so on standard error where `used` tokens of context are fewer than -c asked for (0:
// nothing).
void note_context(std::int64_t asked, std::int64_t used, const TransformerConfig& config);

// `flags` must outlive the parsing.
void add_generate_flags(CLI::App& verb, GenerateFlags& flags);

}  // namespace stepstone::cli
