#include "serve/runs_api.h"

#include <charconv>

#include "serve/api_error.h"
#include "serve/query.h"
#include "train/run_tables.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxFollowed = 24;     // logs that are kept in memory
constexpr std::size_t kReadBytes = 8 << 20;  // of a log in one request
constexpr const char* kDetails[] = {"recipe", "data_hashes"};

// Turns what is wrong with the registry into 500.
template <typename F>
auto readable(F&& work) {
  try {
    return work();
  } catch (const UsageError& e) {
    throw ApiError(404, e.what(), "run");
  } catch (const Error& e) {
    throw ApiError(500, e.what());
  }
}

// The part of the path behind "/runs/".
std::string id_in(const HttpRequest& request) {
  const std::string rest = request.path.substr(std::string_view("/runs/").size());
  return rest.substr(0, rest.find('/'));
}

Json json_of(const Curve& curve) {
  Json points = Json::array();
  const auto number = [](double value) { return shortest_decimal(static_cast<float>(value)); };
  for (const Curve::Point& p : curve.points()) {
    Json point = {number(p.step), number(p.mean)};
    if (p.count > 1) point.insert(point.end(), {number(p.low), number(p.high)});
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace

RunRegistry* RunsApi::registry() {
  if (!registry_ && std::filesystem::exists(file_)) registry_.emplace(file_);
  return registry_ ? &*registry_ : nullptr;
}

RunRecord RunsApi::record(const std::string& id) {
  std::int64_t number = 0;
  const auto read = std::from_chars(id.data(), id.data() + id.size(), number);
  if (read.ec != std::errc() || read.ptr != id.data() + id.size()) {
    throw ApiError(400, "a run is named by its number", "run");
  }
  return readable([&] {
    require<UsageError>(registry() != nullptr, "there is no run {}", number);
    return registry()->get(number);
  });
}

RunCurves& RunsApi::curves_of(const RunRecord& run) {
  for (auto& [id, curves] : curves_) {
    if (id == run.id) return curves;
  }
  if (curves_.size() == kMaxFollowed) curves_.pop_front();
  return curves_.emplace_back(run.id, RunCurves(run.out_dir / "log.jsonl")).second;
}

HttpResponse RunsApi::list(const HttpRequest& request, const std::string&) {
  RunFilter filter;
  filter.limit = static_cast<std::size_t>(query_integer(request.query, "limit", 200, 1, 5000));
  Json list = Json::array();
  readable([&] {
    if (registry() == nullptr) return;
    for (const RunRecord& run : registry()->list(filter)) {
      list.push_back(to_json(run));
      for (const char* field : kDetails) list.back().erase(field);
    }
  });
  return {200, dump_json({{"runs", std::move(list)}})};
}

HttpResponse RunsApi::run(const HttpRequest& request, const std::string&) {
  return {200, dump_json(to_json(record(id_in(request))))};
}

HttpResponse RunsApi::curves(const HttpRequest& request, const std::string&) {
  const RunRecord run = record(id_in(request));
  const std::int64_t known = query_integer(request.query, "version", -1, -1, INT64_MAX);
  RunCurves& log = curves_of(run);
  const bool complete = readable([&] { return log.update(kReadBytes); });
  Json json = {{"version", log.version()}, {"status", name_of(run.status)}, {"complete", complete}};
  if (std::cmp_not_equal(known, log.version())) {
    Json curves = Json::object(), samples = Json::array();
    for (const auto& [name, curve] : log.curves()) curves[name] = json_of(curve);
    for (const auto& [step, text] : log.samples()) {
      samples.push_back({{"step", step}, {"text", text}});
    }
    json.update({{"curves", std::move(curves)},
                 {"samples", std::move(samples)},
                 {"damaged_lines", log.damaged_lines()}});
  }
  return {200, dump_json(json)};
}

}  // namespace stepstone
