#include "train/memory_forecast.h"

#include <cstdio>
#include <fstream>
#include <limits>

#include "io/file.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

constexpr double kNone = std::numeric_limits<double>::infinity();
constexpr double kForecastError = 0.2;

// Floats that one block keeps for one token: the inputs of its norms and matrices.
double kept_per_block(const TransformerConfig& c) {
  const auto d = static_cast<double>(c.hidden_size);
  const auto heads = static_cast<double>((c.heads + 2 * c.kv_heads) * c.head_dim);
  const auto attention = static_cast<double>(c.heads * c.head_dim);
  const double mlp = (c.gated ? 3.0 : 2.0) * static_cast<double>(c.intermediate_size);
  return 4 * d + heads * (c.qk_norm ? 2 : 1) + attention + mlp;
}

// The number in a file of one number; none for "max" and for no such file.
double number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  return file >> value ? value : kNone;
}

// "MemAvailable:   123 kB"
double meminfo(const fs::path& path) {
  std::ifstream file(path);
  double sum = 0;
  bool found = false;
  std::string name, unit;
  for (double kib = 0; file >> name >> kib; std::getline(file, unit)) {
    if (name != "MemAvailable:" && name != "SwapFree:") continue;
    sum += 1024 * kib;
    found |= name == "MemAvailable:";
  }
  return found ? sum : kNone;
}

std::string gigabytes(double bytes) { return fmt::format("{:.2f} GB", bytes / 1e9); }

}  // namespace

MemoryForecast forecast_memory(const Recipe& r) {
  const auto all = static_cast<double>(r.model.parameters());
  const auto matrices = static_cast<double>(r.model.block_parameters());
  MemoryForecast f;
  f.weights = f.gradients = 4 * all;
  f.optimizer = r.optim.muon ? 4 * matrices + 8 * (all - matrices) : 8 * all;
  if (r.train.ema > 0) f.optimizer += 4 * all;
  const auto tokens = static_cast<double>(r.rows * r.context);
  const auto layers = static_cast<double>(r.model.layers);
  const double block = kept_per_block(r.model);
  // With checkpoint_blocks each block keeps its input, and one at a time is whole.
  const double kept = r.train.checkpoint_blocks
                          ? layers * static_cast<double>(r.model.hidden_size) + block
                          : layers * block;
  f.activations = 4 * tokens * kept;
  return f;
}

double available_memory(std::string_view proc, std::string_view cgroup) {
  double available = meminfo(fs::path(proc) / "meminfo");
  // Version 2 in its own folder, as in a container; version 1.
  const std::pair<const char*, const char*> limits[] = {
      {"memory.max", "memory.current"},
      {"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"}};
  for (const auto& [limit, used] : limits) {
    const double most = number_in(fs::path(cgroup) / limit),
                 now = number_in(fs::path(cgroup) / used);
    if (most < kNone && now < kNone) available = std::min(available, std::max(0.0, most - now));
  }
  return available;
}

void require_memory(const Recipe& recipe, double available, double taken) {
  const MemoryForecast f = forecast_memory(recipe);
  const double needed = f.total() - taken;
  if (needed <= available) return;
  const std::string text = fmt::format(
      "this run needs about {} of memory ({} weights, {} gradients, {} optimiser, {} activations "
      "of "
      "{} x {} tokens), and {} are there",
      gigabytes(f.total()), gigabytes(f.weights), gigabytes(f.gradients), gigabytes(f.optimizer),
      gigabytes(f.activations), recipe.rows, recipe.context, gigabytes(available + taken));
  const bool batch = f.activations > f.total() / 2;
  const char* advice = !batch                           ? "model.depth or model.hidden_size"
                       : recipe.train.checkpoint_blocks ? "train.rows (with train.accumulate)"
                                                        : "train.rows (with train.accumulate), or "
                                                          "set train.checkpoint_blocks";
  if (needed * (1 - kForecastError) <= available) {
    std::fprintf(stderr, "note: %s; it may fail\n", text.c_str());
    return;
  }
  throw UsageError(fmt::format("{}; lower {}", text, advice));
}

}  // namespace stepstone
