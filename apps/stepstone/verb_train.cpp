// stepstone train RECIPE.toml [key=value…] --data PATH… --out DIR [--resume]
#include <cstdio>

#include "infer/sample_text.h"
#include "run_flags.h"
#include "train/pretrain.h"

namespace stepstone::cli {
namespace {

struct TrainFlags : RunFlags {
  bool profile = false;
};

constexpr std::int64_t kSampleTokens = 200;

// A prompt that the model cannot read is no reason to stop training.
std::string sample(const Transformer& model, const Tokenizer& tokenizer, DType compute,
                   const std::string& prompt) {
  try {
    return sample_text(model, tokenizer, compute, prompt, kSampleTokens);
  } catch (const Error& error) {
    return fmt::format("(no sample: {})", error.what());
  }
}

void run(const TrainFlags& flags) {
  PretrainRequest request;
  flags.apply_to(request);
  if (request.recipe.train.sample_every > 0) {
    request.sample = [prompt = request.recipe.sample_prompt](
                         const Transformer& model, const Tokenizer& tokenizer, DType compute) {
      return sample(model, tokenizer, compute, prompt);
    };
  }
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
