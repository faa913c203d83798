// GET /metrics: Prometheus' text format, with the names that dashboards of vLLM and of llama.cpp
// look for.
#pragma once

#include <string>
#include <vector>

#include "infer/engine_metrics.h"

namespace stepstone {

struct NamedMetrics {
  std::string model;
  EngineMetrics metrics;
};
std::string metrics_text(const std::vector<NamedMetrics>& models);

}  // namespace stepstone
