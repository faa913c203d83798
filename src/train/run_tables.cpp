#include "train/run_tables.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <map>
#include <set>

#include "io/utf8.h"

namespace stepstone {
namespace {

// "2025-11-03 14:05", local time.
std::string time_text(std::int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm tm{};
  localtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min);
}

std::string duration_text(const RunRecord& run) {
  if (run.ended_ms == 0) return "";
  const std::int64_t s = std::max<std::int64_t>(0, run.ended_ms - run.started_ms) / 1000;
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "–";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return dump_json(value);
}

// The number by which a run is known: its scores first, then what training measured.
std::string headline(const RunRecord& run) {
  for (const Json* numbers : {&run.scores, &run.metrics}) {
    for (const char* key : {"accuracy", "val_bpb", "val_loss", "loss"}) {
      const Json* value = numbers->is_object() ? find_field(*numbers, key) : nullptr;
      if (value != nullptr && value->is_number()) {
        return fmt::format("{} {:.4f}", key, value->get<double>());
      }
    }
  }
  return "";
}

// Leaves of `value` by dotted path; arrays are leaves.
void leaves(const Json& value, const std::string& path, std::map<std::string, Json>& out) {
  if (!value.is_object() || value.empty()) {
    if (!value.is_object()) out[path] = value;
    return;
  }
  for (const auto& [key, member] : value.items()) leaves(member, path + "." + key, out);
}

void compare(const std::string& name, const Json& a, const Json& b,
             std::vector<RunDifference>& out) {
  std::map<std::string, Json> first, second;
  leaves(a, name, first);
  leaves(b, name, second);
  std::set<std::string> fields;
  for (const auto* side : {&first, &second}) {
    for (const auto& [field, value] : *side) fields.insert(field);
  }
  for (const std::string& field : fields) {
    const Json x = first.contains(field) ? first[field] : Json();
    const Json y = second.contains(field) ? second[field] : Json();
    if (x != y) out.push_back({field, x, y});
  }
}

// Columns as wide as their widest cell, the last one free.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace

Json to_json(const RunRecord& run) {
  return {{"id", run.id},
          {"name", to_utf8_lossy(run.name)},
          {"kind", run.kind},
          {"status", name_of(run.status)},
          {"started_ms", run.started_ms},
          {"ended_ms", run.ended_ms},
          {"out_dir", to_utf8_lossy(run.out_dir.string())},
          {"parents", run.parents},
          {"recipe", run.recipe},
          {"data_hashes", run.data_hashes},
          {"code_version", run.code_version},
          {"seed", run.seed},
          {"metrics", run.metrics},
          {"scores", run.scores}};
}

std::string runs_table(const std::vector<RunRecord>& runs) {
  std::vector<std::vector<std::string>> rows = {
      {"run", "name", "kind", "state", "started", "took", "result", "folder"}};
  for (const RunRecord& r : runs) {
    rows.push_back({std::to_string(r.id), r.name, r.kind, std::string(name_of(r.status)),
                    time_text(r.started_ms), duration_text(r), headline(r), r.out_dir.string()});
  }
  return table(rows);
}

std::string run_text(const RunRecord& run) {
  std::vector<std::vector<std::string>> rows = {
      {"run", std::to_string(run.id)},
      {"name", run.name},
      {"kind", run.kind},
      {"state", std::string(name_of(run.status))},
      {"started", time_text(run.started_ms)},
      {"took", duration_text(run)},
      {"folder", run.out_dir.string()},
      {"parents", run.parents.empty() ? "none" : fmt::format("{}", fmt::join(run.parents, ", "))},
      {"code", run.code_version},
      {"seed", std::to_string(run.seed)}};
  const std::pair<const char*, const Json*> parts[] = {{"recipe", &run.recipe},
                                                       {"data", &run.data_hashes},
                                                       {"metrics", &run.metrics},
                                                       {"scores", &run.scores}};
  for (const auto& [name, json] : parts) {
    std::map<std::string, Json> all;
    leaves(*json, name, all);
    for (const auto& [field, value] : all) rows.push_back({field, value_text(value)});
  }
  return table(rows);
}

std::vector<RunDifference> run_differences(const RunRecord& a, const RunRecord& b) {
  std::vector<RunDifference> out;
  compare("recipe", a.recipe, b.recipe, out);
  compare("data", a.data_hashes, b.data_hashes, out);
  compare("code", a.code_version, b.code_version, out);
  compare("seed", a.seed, b.seed, out);
  compare("metrics", a.metrics, b.metrics, out);
  compare("scores", a.scores, b.scores, out);
  return out;
}

std::string differences_table(const RunRecord& a, const RunRecord& b) {
  std::vector<std::vector<std::string>> rows = {
      {"", fmt::format("run {}", a.id), fmt::format("run {}", b.id), "change"}};
  for (const RunDifference& d : run_differences(a, b)) {
    std::string change;
    if (d.first.is_number() && d.second.is_number()) {
      change = fmt::format("{:+.6g}", d.second.get<double>() - d.first.get<double>());
    }
    rows.push_back({d.field, value_text(d.first), value_text(d.second), change});
  }
  return rows.size() == 1 ? "no difference\n" : table(rows);
}

std::string lineage_tree(const std::vector<RunRecord>& ancestors) {
  if (ancestors.empty()) return "";
  std::map<std::int64_t, const RunRecord*> by_id;
  for (const RunRecord& run : ancestors) by_id[run.id] = &run;
  struct Open {
    std::int64_t id;
    std::size_t depth;
  };
  std::vector<Open> open = {{ancestors.front().id, 0}};
  std::set<std::int64_t> shown;
  std::string out;
  while (!open.empty()) {
    const Open next = open.back();
    open.pop_back();
    const auto it = by_id.find(next.id);
    if (it == by_id.end()) continue;
    const RunRecord& run = *it->second;
    const bool again = !shown.insert(run.id).second;
    out += fmt::format("{}{}{} {} ({}){}{}\n", std::string(2 * next.depth, ' '),
                       next.depth == 0 ? "" : "from ", run.id, run.name, run.kind,
                       headline(run).empty() ? "" : "  " + headline(run),
                       again ? "  (see above)" : "");
    if (again) continue;
    for (auto parent = run.parents.rbegin(); parent != run.parents.rend(); ++parent) {
      open.push_back({*parent, next.depth + 1});
    }
  }
  return out;
}

RunRecord find_run(RunRegistry& registry, const std::string& text) {
  std::int64_t id = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, id);
  if (error == std::errc() && rest == end) return registry.get(id);
  auto run = registry.find_by_folder(text);
  require<UsageError>(run.has_value(), "no run is number {} or wrote to that folder; see runs ls",
                      text);
  return *std::move(run);
}

}  // namespace stepstone
