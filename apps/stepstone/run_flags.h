// Flags that train and tune share.
#pragma once

#include "train/pretrain.h"
#include "train/recipe.h"
#include "train/trainer.h"
#include "verbs.h"

namespace stepstone::cli {

struct RunFlags {
  std::string recipe, out;
  std::vector<std::string> overrides, data;
  bool resume = false, quiet = false, json = false;

  // Makes the texts that train.sample_every asks for.
  static SampleFn sampler_of(std::string prompt);
  // Fills a PretrainRequest or FinetuneRequest.
  template <typename Request>
  void apply_to(Request& request) const {
    for (const std::string& path : data) {
      require<UsageError>(path.find('=') == std::string::npos || std::filesystem::exists(path),
                          "--data: {}: no such file; an override, key=value, goes before --data",
                          path);
    }
    request.recipe = read_recipe(recipe, overrides);
    if (!data.empty()) request.recipe.data.paths = data;
    request.out = out;
    request.resume = resume;
    request.quiet = quiet;
    if (request.recipe.train.sample_every > 0) {
      request.sample = sampler_of(request.recipe.sample_prompt);
    }
  }
  // Sets the exit status and prints the outcome if asked for.
  void finish(const TrainOutcome& outcome) const;
};

void add_run_flags(CLI::App& verb, RunFlags& flags);

}  // namespace stepstone::cli
