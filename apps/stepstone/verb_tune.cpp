// stepstone tune RECIPE.toml -m DIR --data CHATS… --out DIR [--resume]
#include "run_flags.h"
#include "train/finetune.h"

namespace stepstone::cli {
namespace {

struct TuneFlags : RunFlags {
  std::string model;
};

void run(const TuneFlags& flags) {
  FinetuneRequest request;
  flags.apply_to(request);
  request.stone = flags.model;
  flags.finish(finetune(request));
}

}  // namespace

void add_tune(CLI::App& app) {
  auto flags = std::make_shared<TuneFlags>();
  CLI::App* verb = app.add_subcommand("tune", "Teach a model to chat: supervised tuning");
  add_run_flags(*verb, *flags);
  verb->add_option("-m,--model", flags->model, "The model's folder")->required();
  verb->callback([flags] { run(*flags); });
}

}  // namespace stepstone::cli
