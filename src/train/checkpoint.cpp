#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "io/atomic_file.h"
#include "io/atomic_folder.h"
#include "io/safetensors.h"
#include "stone/stone.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

fs::path checkpoint_path(const fs::path& run, std::int64_t step) {
  return run / "checkpoints" / fmt::format("step-{:08d}", step);
}

LoadedCheckpoint load_one(const fs::path& folder, std::int64_t step, Transformer& model,
                          Optimizer& optimizer, Ema* ema) {
  verify_folder(folder);
  Json state = read_json(folder / "state.json");
  const std::string file = (folder / "state.json").string();
  const auto optimizer_steps = get<std::int64_t>(state, "optimizer_steps", file);
  const auto optimizer_file = SafetensorsFile::open(folder / "optimizer.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const std::string& name : optimizer_file.names()) {
    tensors.emplace_back(name, optimizer_file.tensor(name));
  }
  load_tensors(model, load_safetensors_folder(folder), (folder / "model.safetensors").string());
  optimizer.load_state(tensors, optimizer_steps);
  if (ema) {
    const auto averages = SafetensorsFile::open(folder / "ema.safetensors");
    for (const auto& [name, target] : ema->state()) target.copy_from(averages.tensor(name));
  }
  return {step, std::move(state)};
}

}  // namespace

std::vector<std::int64_t> checkpoint_steps(const fs::path& run) {
  std::vector<std::int64_t> steps;
  if (!fs::is_directory(run / "checkpoints")) return steps;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kPrefix = "step-";
    if (!entry.is_directory() || !name.starts_with(kPrefix)) continue;
    std::int64_t step = -1;
    const char* end = name.data() + name.size();
    const auto result = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (result.ec == std::errc() && result.ptr == end && step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void save_checkpoint(const fs::path& run, std::int64_t step, const Transformer& model,
                     const Optimizer& optimizer, const Json& state, int keep, const Ema* ema) {
  fs::create_directories(run / "checkpoints");
  {
    AtomicFolder folder(checkpoint_path(run, step));
    write_safetensors(folder.path() / "model.safetensors", to_tensors(model));
    TensorMap tensors;
    for (const auto& [name, tensor] : optimizer.state()) tensors[name] = tensor;
    write_safetensors(folder.path() / "optimizer.safetensors", tensors);
    if (ema) {
      TensorMap averages;
      for (const auto& [name, tensor] : ema->state()) averages[name] = tensor;
      write_safetensors(folder.path() / "ema.safetensors", averages);
    }
    Json all = state;
    all["optimizer_steps"] = optimizer.steps();
    write_file(folder.path() / "state.json", dump_json(all, 2) + "\n");
    folder.commit();
  }
  const auto steps = checkpoint_steps(run);
  const auto extra = static_cast<std::ptrdiff_t>(steps.size()) - std::max(1, keep);
  for (std::ptrdiff_t i = 0; i < extra; ++i) {
    if (steps[static_cast<std::size_t>(i)] != step) {
      fs::remove_all(checkpoint_path(run, steps[static_cast<std::size_t>(i)]));
    }
  }
}

std::optional<LoadedCheckpoint> load_checkpoint(const fs::path& run, Transformer& model,
                                                Optimizer& optimizer, Ema* ema) {
  auto steps = checkpoint_steps(run);
  std::string last_problem;
  for (auto it = steps.rbegin(); it != steps.rend(); ++it) {
    const fs::path folder = checkpoint_path(run, *it);
    recover_folder(folder);
    try {
      return load_one(folder, *it, model, optimizer, ema);
    } catch (const FormatError& e) {
      last_problem = e.what();
      std::fprintf(stderr, "stepstone: skipping a damaged checkpoint: %s\n", e.what());
    }
  }
  require(last_problem.empty(), "{}: no undamaged checkpoint; the last problem was: {}",
          run.string(), last_problem);
  return std::nullopt;
}

}  // namespace stepstone
