// stepstone tune RECIPE.toml -m DIR --data CHATS… --out DIR [--resume]
#include <cstdio>

#include "train/finetune.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct TuneFlags {
  std::string recipe, model, out;
  std::vector<std::string> overrides, data;
  bool resume = false, quiet = false, json = false;
};

void run(const TuneFlags& flags) {
  FinetuneRequest request;
  request.recipe = read_recipe(flags.recipe, flags.overrides);
  if (!flags.data.empty()) request.recipe.data.paths = flags.data;
  request.stone = flags.model;
  request.out = flags.out;
  request.resume = flags.resume;
  request.quiet = flags.quiet;
  const TrainOutcome outcome = finetune(request);
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

void add_tune(CLI::App& app) {
  auto flags = std::make_shared<TuneFlags>();
  CLI::App* verb = app.add_subcommand("tune", "Teach a model to chat: supervised tuning");
  verb->add_option("recipe", flags->recipe, "Recipe file (recipes/chat.toml)")->required();
  verb->add_option("overrides", flags->overrides, "key=value: overrides of the recipe");
  verb->add_option("-m,--model", flags->model, "The model's folder")->required();
  verb->add_option("--data", flags->data, "Chats: .jsonl with {\"messages\"}");
  verb->add_option("-o,--out", flags->out, "Folder for the tuned model")->required();
  verb->add_flag("--resume", flags->resume, "Go on from the newest checkpoint in --out");
  verb->add_flag("-q,--quiet", flags->quiet, "No progress on standard error");
  verb->add_flag("--json", flags->json, "Print the outcome as JSON");
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
