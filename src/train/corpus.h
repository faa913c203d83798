// From a recipe's tokenizer and data sections to token datasets.
#pragma once

#include <filesystem>

#include "data/sampler.h"
#include "tokenizer/tokenizer.h"
#include "train/recipe.h"

namespace stepstone {

struct Corpus {
  Tokenizer tokenizer;
  std::vector<MixtureEntry> train;
  Dataset validation;
  Json sources;  // for the artefact: path, documents, tokens and hash of each

  // Sampler options with everything that comes from the corpus filled in.
  SamplerOptions sampling(const Recipe& recipe) const;
};

// Throws UsageError when data.paths name nothing, before any work.
void check_corpus(const DataRecipe& data);

// Reads, tokenises and splits. A path may be a folder of tokens (data/shards.h), which brings its
// tokenizer along and must have been made with the run's: else FormatError. The tokenizer is
// `given`, or the one that the recipe describes; a tokenizer.json already in `run` is used again (a
// resumed run). Documents are kept as token shards in <run>/data. Chats go through `chat_template`
// (ChatML where it is empty) and have loss on the assistant's tokens only.
Corpus prepare_corpus(const Recipe& recipe, const std::filesystem::path& run,
                      const Tokenizer* given = nullptr, std::string_view chat_template = {});

}  // namespace stepstone
