// stepstone train RECIPE.toml [key=value…] --data PATH… --out DIR [--resume]
#include <cstdio>

#include "infer/sample_text.h"
#include "train/pretrain.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct TrainFlags {
  std::string recipe, out;
  std::vector<std::string> overrides, data;
  bool resume = false, quiet = false, json = false, profile = false;
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
  request.recipe = read_recipe(flags.recipe, flags.overrides);
  if (!flags.data.empty()) request.recipe.data.paths = flags.data;
  request.out = flags.out;
  request.resume = flags.resume;
  request.quiet = flags.quiet;
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
  if (outcome.signal != 0) exit_status = 128 + outcome.signal;
  if (flags.json) {
    const Json json = {{"steps", outcome.steps},
                       {"tokens", outcome.tokens},
                       {"train_seconds", outcome.seconds},
                       {"val_loss", outcome.validation.loss},
                       {"val_bpb", outcome.validation.bits_per_byte}};
    std::puts(dump_json(json).c_str());
  }
}

}  // namespace

void add_train(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* verb = app.add_subcommand("train", "Train a model from a recipe");
  verb->add_option("recipe", flags->recipe, "Recipe file (recipes/*.toml)")->required();
  verb->add_option("overrides", flags->overrides, "key=value: overrides of the recipe");
  verb->add_option("--data", flags->data, "Text files, folders or globs (instead of data.paths)");
  verb->add_option("-o,--out", flags->out, "Folder for the model, its log and its checkpoints")
      ->required();
  verb->add_flag("--resume", flags->resume, "Go on from the newest checkpoint in --out");
  verb->add_flag("-q,--quiet", flags->quiet, "No progress on standard error");
  verb->add_flag("--json", flags->json, "Print the outcome as JSON");
  verb->add_flag("--profile", flags->profile, "Print time and GFLOP/s per op");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
