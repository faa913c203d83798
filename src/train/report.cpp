#include "train/report.h"

namespace stepstone {
namespace {

ReportSeries series(std::span<const Json> entries, const char* key, std::string name, bool noisy) {
  ReportSeries s{.name = std::move(name), .noisy = noisy};
  for (const Json& e : entries) {
    if (!e.contains(key)) continue;
    s.x.push_back(e.at("step").get<double>());
    s.y.push_back(e.at(key).get<double>());
  }
  return s;
}

}  // namespace

std::vector<ReportChart> training_charts(std::span<const Json> entries) {
  return {
      {.title = "Loss (nats per token)",
       .x_label = "step",
       .series = {series(entries, "loss", "training", true),
                  series(entries, "val_loss", "validation", false)}},
      {.title = "Validation, bits per byte",
       .x_label = "step",
       .series = {series(entries, "val_bpb", "validation", false)}},
      {.title = "Tokens per second",
       .x_label = "step",
       .series = {series(entries, "tok_per_sec", "speed", false)}},
      {.title = "Learning rate (share of the peak)",
       .x_label = "step",
       .series = {series(entries, "lr_scale", "schedule", false)}},
      {.title = "Gradient norm",
       .x_label = "step",
       .series = {series(entries, "grad_norm", "before clipping", true)}},
  };
}

ReportData training_report(const Recipe& recipe, const Transformer& model,
                           const TrainOutcome& outcome, const RunLog& log) {
  ReportData data;
  data.title = recipe.name;
  const TransformerConfig& c = model.config();
  data.subtitle = fmt::format("{} · {} layers · {} wide · vocabulary {}", c.model_type, c.layers,
                              c.hidden_size, c.vocab_size);
  const auto bits = outcome.validation.bits_per_byte;
  data.figures = {
      {"validation loss", fmt::format("{:.4f}", outcome.validation.loss), "nats per token"},
      {"bits per byte", bits ? fmt::format("{:.4f}", *bits) : "-", "comparable over tokenizers"},
      {"parameters", fmt::format("{:.2f} M", static_cast<double>(c.parameters()) / 1e6), ""},
      {"training", fmt::format("{:.0f} s", outcome.seconds),
       fmt::format("{} steps, {} tokens", outcome.steps, outcome.tokens)},
  };
  data.charts = training_charts(log.entries());
  for (const Json& e : log.entries()) {
    if (!e.contains("sample")) continue;
    data.samples.push_back({.caption = fmt::format("step {}", e.at("step").get<std::int64_t>()),
                            .text = e.at("sample").get<std::string>()});
  }
  data.config = dump_json(recipe.source, 2);
  return data;
}

}  // namespace stepstone
