// GET /runs/all, /runs/N and /runs/N/curves: what was trained here, from the run registry.
#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <string>

#include "io/run_registry.h"
#include "serve/http_server.h"
#include "serve/run_curves.h"

namespace stepstone {

// For one thread at a time. Throws ApiError: 400 for what the client does wrong, 404 for a run that
// is not there, 500 for a registry that cannot be read. One that does not exist has no runs.
class RunsApi {
 public:
  explicit RunsApi(std::filesystem::path registry) : file_(std::move(registry)) {}

  HttpResponse list(const HttpRequest& request, const std::string& holder);
  HttpResponse run(const HttpRequest& request, const std::string& holder);
  HttpResponse curves(const HttpRequest& request, const std::string& holder);

 private:
  RunRegistry* registry();
  RunRecord record(const std::string& id);
  RunCurves& curves_of(const RunRecord& run);

  std::filesystem::path file_;
  std::optional<RunRegistry> registry_;
  std::deque<std::pair<std::int64_t, RunCurves>> curves_;  // of the runs looked at last
};

}  // namespace stepstone
