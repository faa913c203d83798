// GET /metrics: Prometheus' text format, with the names that dashboards of vLLM and of llama.cpp
// look for.
#pragma once

#include <string>
#include <string_view>

#include "infer/engine_metrics.h"

namespace stepstone {

std::string metrics_text(const EngineMetrics& m, std::string_view model);

}  // namespace stepstone
