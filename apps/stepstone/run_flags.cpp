#include "run_flags.h"

#include "infer/sample_text.h"
#include "output.h"

namespace stepstone::cli {
namespace {

constexpr std::int64_t kSampleTokens = 200;

}  // namespace

// A prompt that the model cannot read is no reason to stop training.
SampleFn RunFlags::sampler_of(std::string prompt) {
  return [prompt = std::move(prompt)](const Transformer& model, const Tokenizer& tokenizer,
                                      DType compute) {
    try {
      return sample_text(model, tokenizer, compute, prompt, kSampleTokens);
    } catch (const Error& error) {
      return fmt::format("(no sample: {})", error.what());
    }
  };
}

void RunFlags::finish(const TrainOutcome& outcome) const {
  if (outcome.signal != 0) exit_status = 128 + outcome.signal;
  if (!json) return;
  Json printed = {{"steps", outcome.steps},
                  {"tokens", outcome.tokens},
                  {"train_seconds", outcome.seconds},
                  {"val_loss", outcome.validation.loss}};
  if (const auto bits = outcome.validation.bits_per_byte) printed["val_bpb"] = *bits;
  put_out(dump_json(printed) + "\n");
}

void add_run_flags(CLI::App& verb, RunFlags& flags) {
  verb.add_option("recipe", flags.recipe, "Recipe file (recipes/*.toml)")->required();
  verb.add_option("overrides", flags.overrides, "key=value: overrides of the recipe");
  verb.add_option("--data", flags.data, "Files, folders or globs (instead of data.paths)");
  verb.add_option("-o,--out", flags.out, "Folder for the model, its log and its checkpoints")
      ->required();
  verb.add_flag("--resume", flags.resume, "Go on from the newest checkpoint in --out");
  verb.add_flag("-q,--quiet", flags.quiet, "No progress on standard error");
  verb.add_flag("--json", flags.json, "Print the outcome as JSON");
}

}  // namespace stepstone::cli
