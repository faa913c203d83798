// stepstone runs ls | show | diff | lineage
#include "output.h"
#include "train/run_tables.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct RunsFlags {
  std::string run, other, kind;
  std::size_t limit = 30;
  bool json = false;
};

Json list_json(const std::vector<RunRecord>& runs) {
  Json list = Json::array();
  for (const RunRecord& run : runs) list.push_back(to_json(run));
  return {{"runs", list}};
}

void print(const RunsFlags& flags, const Json& json, const std::string& text) {
  put_out(flags.json ? dump_json(json) + "\n" : text);
}

void ls(const RunsFlags& flags) {
  RunRegistry registry;
  RunFilter filter;
  filter.kind = flags.kind;
  filter.limit = flags.limit;
  const auto runs = registry.list(filter);
  print(flags, list_json(runs), runs.empty() ? "no runs yet\n" : runs_table(runs));
}

void show(const RunsFlags& flags) {
  RunRegistry registry;
  const RunRecord run = find_run(registry, flags.run);
  print(flags, to_json(run), run_text(run));
}

void diff(const RunsFlags& flags) {
  RunRegistry registry;
  const RunRecord a = find_run(registry, flags.run), b = find_run(registry, flags.other);
  Json list = Json::array();
  for (const RunDifference& d : run_differences(a, b)) {
    list.push_back({{"field", d.field}, {"first", d.first}, {"second", d.second}});
  }
  print(flags, {{"first", a.id}, {"second", b.id}, {"differences", list}}, differences_table(a, b));
}

void lineage(const RunsFlags& flags) {
  RunRegistry registry;
  const auto runs = registry.lineage(find_run(registry, flags.run).id);
  print(flags, list_json(runs), lineage_tree(runs));
}

CLI::App* add_part(CLI::App& verb, RunsFlags& flags, const char* name, const char* what) {
  CLI::App* part = verb.add_subcommand(name, what);
  part->add_flag("--json", flags.json, "Print one JSON object");
  return part;
}

}  // namespace

void add_runs(CLI::App& app) {
  auto flags = std::make_shared<RunsFlags>();
  CLI::App* verb = app.add_subcommand("runs", "What was trained here, and from what");
  verb->require_subcommand(1);
  verb->footer("A run is named by its number or its folder. The list is $STEPSTONE_HOME/runs.db.");

  CLI::App* part = add_part(*verb, *flags, "ls", "List runs, the newest first");
  part->add_option("--kind", flags->kind, "Only train, tune, eval, …");
  part->add_option("-n,--limit", flags->limit, "At most so many")->capture_default_str();
  part->callback([flags] { ls(*flags); });

  part = add_part(*verb, *flags, "show", "Everything about a run");
  part->add_option("run", flags->run, "Number or folder")->required();
  part->callback([flags] { show(*flags); });

  part = add_part(*verb, *flags, "diff", "How two runs differ: recipe, data, scores");
  part->add_option("first", flags->run, "Number or folder")->required();
  part->add_option("second", flags->other, "Number or folder")->required();
  part->callback([flags] { diff(*flags); });

  part = add_part(*verb, *flags, "lineage", "The runs that a run came from");
  part->add_option("run", flags->run, "Number or folder")->required();
  part->callback([flags] { lineage(*flags); });
}

}  // namespace stepstone::cli
