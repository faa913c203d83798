// stepstone train RECIPE.toml [key=value…] --data PATH… --out DIR [--resume]
#include <cstdio>

#include "run_flags.h"
#include "train/pretrain.h"

namespace stepstone::cli {
namespace {

struct TrainFlags : RunFlags {
  bool profile = false;
};

void run(const TrainFlags& flags) {
  PretrainRequest request;
  flags.apply_to(request);
  Profiler profiler;
  if (flags.profile) request.profiler = &profiler;
  const TrainOutcome outcome = pretrain(request);
  if (flags.profile) std::fputs(profiler.table().c_str(), stderr);
  flags.finish(outcome);
}

}  // namespace

void add_train(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* verb = app.add_subcommand("train", "Train a model from a recipe");
  add_run_flags(*verb, *flags);
  verb->add_flag("--profile", flags->profile, "Print time and GFLOP/s per op");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
