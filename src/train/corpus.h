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

// Reads, tokenises and splits. The tokenizer is trained on the data unless the recipe names one;
// a tokenizer.json already in `run` is used again (a resumed run). Tokens are kept in <run>/data.
Corpus prepare_corpus(const Recipe& recipe, const std::filesystem::path& run);

}  // namespace stepstone
