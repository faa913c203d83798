#include "io/run_registry.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "io/paths.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kBusyMs = 10'000;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'stopped')),
  started_ms INTEGER NOT NULL,
  ended_ms INTEGER NOT NULL DEFAULT 0,
  out_dir TEXT NOT NULL,
  recipe TEXT NOT NULL,
  data_hashes TEXT NOT NULL,
  code_version TEXT NOT NULL,
  seed INTEGER NOT NULL,
  metrics TEXT NOT NULL,
  scores TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_folder ON runs (out_dir);
CREATE TABLE IF NOT EXISTS run_parents (
  run_id INTEGER NOT NULL REFERENCES runs (id),
  parent_id INTEGER NOT NULL REFERENCES runs (id),
  PRIMARY KEY (run_id, parent_id)
) WITHOUT ROWID;
)";

constexpr const char* kSelect =
    "SELECT id, name, kind, status, started_ms, ended_ms, out_dir, recipe, data_hashes, "
    "code_version, seed, metrics, scores, host, pid FROM runs ";

constexpr std::array kStatuses{RunStatus::running, RunStatus::done, RunStatus::failed,
                               RunStatus::stopped};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string host_name() {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return host;
}

bool is_alive(std::int64_t pid) {
  return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
}

// One spelling for each folder, whether it exists yet or not.
std::string canonical_text(const fs::path& path) {
  if (path.empty()) return "";
  std::error_code error;
  fs::path canonical = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) canonical = path;
  return (canonical.has_filename() ? canonical : canonical.parent_path()).string();
}

}  // namespace

std::string_view name_of(RunStatus status) {
  switch (status) {
    case RunStatus::running:
      return "running";
    case RunStatus::done:
      return "done";
    case RunStatus::failed:
      return "failed";
    case RunStatus::stopped:
      return "stopped";
  }
  return "?";
}

struct RunRegistry::Impl {
  std::string path;
  std::optional<SQLite::Database> database;

  // Runs `work`, with SQLite's errors turned into ours.
  template <typename F>
  auto guarded(F&& work) {
    try {
      return work();
    } catch (const SQLite::Exception& error) {
      const int code = error.getErrorCode();
      if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        throw FormatError(path, "database",
                          fmt::format("damaged, or not a run registry ({}); move it away to begin "
                                      "a new one",
                                      error.what()));
      }
      throw Error(fmt::format("run registry {}: {}", path, error.what()));
    }
  }

  void open() {
    database.emplace(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs);
    if (const std::string problem = text("PRAGMA quick_check(1)"); problem != "ok") {
      throw FormatError(path, "database", fmt::format("damaged ({})", problem));
    }
    const int version = number("PRAGMA user_version");
    const bool is_new = version == 0 && number("SELECT count(*) FROM sqlite_master") == 0;
    // Another process may have made the tables between the two looks.
    if (!is_new && number("PRAGMA user_version") != kSchemaVersion) {
      throw FormatError(path, "database",
                        fmt::format("has schema version {}, not {}", version, kSchemaVersion));
    }
    use_write_ahead_log();
    database->exec("PRAGMA foreign_keys = ON");
    if (is_new) {
      SQLite::Transaction transaction(*database, SQLite::TransactionBehavior::IMMEDIATE);
      database->exec(kSchema);
      database->exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
      transaction.commit();
    }
  }

  // Readers and a writer do not wait for each other. Two processes that both change to it get
  // SQLITE_BUSY at once, whatever the time-out; file systems without it keep the old journal.
  void use_write_ahead_log() {
    for (int i = 0;; ++i) {
      try {
        if (text("PRAGMA journal_mode") != "wal") text("PRAGMA journal_mode = WAL");
        return;
      } catch (const SQLite::Exception& error) {
        if (error.getErrorCode() != SQLITE_BUSY || i == 100) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }

  std::string text(const char* query) {
    SQLite::Statement statement(*database, query);
    return statement.executeStep() ? statement.getColumn(0).getString() : "";
  }
  int number(const char* query) { return database->execAndGet(query).getInt(); }

  Json json(const SQLite::Column& column, const char* field) {
    return parse_json(column.getString(), fmt::format("{}: {}", path, field));
  }

  RunRecord read_row(SQLite::Statement& row) {
    RunRecord run;
    run.id = row.getColumn(0).getInt64();
    run.name = row.getColumn(1).getString();
    run.kind = row.getColumn(2).getString();
    const std::string status = row.getColumn(3).getString();
    for (const RunStatus s : kStatuses) {
      if (status == name_of(s)) run.status = s;
    }
    run.started_ms = row.getColumn(4).getInt64();
    run.ended_ms = row.getColumn(5).getInt64();
    run.out_dir = row.getColumn(6).getString();
    run.recipe = json(row.getColumn(7), "recipe");
    run.data_hashes = json(row.getColumn(8), "data_hashes");
    run.code_version = row.getColumn(9).getString();
    run.seed = static_cast<std::uint64_t>(row.getColumn(10).getInt64());
    run.metrics = json(row.getColumn(11), "metrics");
    run.scores = json(row.getColumn(12), "scores");
    if (run.status == RunStatus::running && row.getColumn(13).getString() == host_name() &&
        !is_alive(row.getColumn(14).getInt64())) {
      run.status = RunStatus::stopped;
    }
    return run;
  }

  RunRecord with_parents(RunRecord run) {
    SQLite::Statement query(*database,
                            "SELECT parent_id FROM run_parents WHERE run_id = ? ORDER BY 1");
    query.bind(1, run.id);
    while (query.executeStep()) run.parents.push_back(query.getColumn(0).getInt64());
    return run;
  }

  std::vector<RunRecord> read_all(SQLite::Statement& query) {
    std::vector<RunRecord> runs;
    while (query.executeStep()) runs.push_back(with_parents(read_row(query)));
    return runs;
  }

  // An UPDATE that must reach exactly the row `id`, which is its last parameter.
  void update(std::int64_t id, SQLite::Statement& statement) {
    require<UsageError>(statement.exec() == 1, "there is no run {}", id);
  }
};

fs::path RunRegistry::default_path() { return stepstone_home() / "runs.db"; }

RunRegistry::RunRegistry(const fs::path& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path.string();
  if (path.has_parent_path()) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) throw IoError("create", path.parent_path().string(), error.value());
  }
  impl_->guarded([&] { impl_->open(); });
}

RunRegistry::~RunRegistry() = default;

std::int64_t RunRegistry::insert(const RunRecord& run) {
  return impl_->guarded([&] {
    SQLite::Database& database = *impl_->database;
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement row(database,
                          "INSERT INTO runs (name, kind, status, started_ms, out_dir, recipe, "
                          "data_hashes, code_version, seed, metrics, scores, host, pid) "
                          "VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    row.bind(1, run.name);
    row.bind(2, run.kind);
    row.bind(3, now_ms());
    row.bind(4, canonical_text(run.out_dir));
    row.bind(5, dump_json(run.recipe));
    row.bind(6, dump_json(run.data_hashes));
    row.bind(7, run.code_version);
    row.bind(8, static_cast<std::int64_t>(run.seed));
    row.bind(9, dump_json(run.metrics));
    row.bind(10, dump_json(run.scores));
    row.bind(11, host_name());
    row.bind(12, static_cast<std::int64_t>(::getpid()));
    row.exec();
    const std::int64_t id = database.getLastInsertRowid();
    for (const std::int64_t parent : run.parents) {
      SQLite::Statement link(database,
                             "INSERT INTO run_parents SELECT ?, id FROM runs WHERE id = ?");
      link.bind(1, id);
      link.bind(2, parent);
      require<UsageError>(link.exec() == 1, "there is no run {} to be a parent", parent);
    }
    transaction.commit();
    return id;
  });
}

void RunRegistry::resume(std::int64_t id) {
  impl_->guarded([&] {
    SQLite::Statement statement(
        *impl_->database,
        "UPDATE runs SET status = 'running', ended_ms = 0, host = ?, pid = ? WHERE id = ?");
    statement.bind(1, host_name());
    statement.bind(2, static_cast<std::int64_t>(::getpid()));
    statement.bind(3, id);
    impl_->update(id, statement);
  });
}

void RunRegistry::set_metrics(std::int64_t id, const Json& metrics) {
  impl_->guarded([&] {
    SQLite::Statement statement(*impl_->database, "UPDATE runs SET metrics = ? WHERE id = ?");
    statement.bind(1, dump_json(metrics));
    statement.bind(2, id);
    impl_->update(id, statement);
  });
}

void RunRegistry::set_scores(std::int64_t id, const Json& scores) {
  impl_->guarded([&] {
    SQLite::Statement statement(*impl_->database, "UPDATE runs SET scores = ? WHERE id = ?");
    statement.bind(1, dump_json(scores));
    statement.bind(2, id);
    impl_->update(id, statement);
  });
}

void RunRegistry::finish(std::int64_t id, RunStatus status) {
  require<UsageError>(status != RunStatus::running, "a run cannot finish as running");
  impl_->guarded([&] {
    SQLite::Statement statement(*impl_->database,
                                "UPDATE runs SET status = ?, ended_ms = ? WHERE id = ?");
    statement.bind(1, std::string(name_of(status)));
    statement.bind(2, now_ms());
    statement.bind(3, id);
    impl_->update(id, statement);
  });
}

RunRecord RunRegistry::get(std::int64_t id) {
  return impl_->guarded([&] {
    SQLite::Statement query(*impl_->database, std::string(kSelect) + "WHERE id = ?");
    query.bind(1, id);
    std::vector<RunRecord> runs = impl_->read_all(query);
    require<UsageError>(!runs.empty(), "there is no run {}", id);
    return runs.front();
  });
}

std::vector<RunRecord> RunRegistry::list(const RunFilter& filter) {
  return impl_->guarded([&] {
    SQLite::Statement query(*impl_->database,
                            std::string(kSelect) + "WHERE (?1 = '' OR kind = ?1) ORDER BY id DESC");
    query.bind(1, filter.kind);
    std::vector<RunRecord> runs;
    // What a dead process left as running counts as stopped, which only read_row() knows.
    while (runs.size() < filter.limit && query.executeStep()) {
      RunRecord run = impl_->read_row(query);
      if (filter.status && run.status != *filter.status) continue;
      runs.push_back(impl_->with_parents(std::move(run)));
    }
    return runs;
  });
}

std::optional<RunRecord> RunRegistry::find_by_folder(const fs::path& out_dir) {
  return impl_->guarded([&]() -> std::optional<RunRecord> {
    SQLite::Statement query(*impl_->database,
                            std::string(kSelect) + "WHERE out_dir = ? ORDER BY id DESC LIMIT 1");
    query.bind(1, canonical_text(out_dir));
    std::vector<RunRecord> runs = impl_->read_all(query);
    if (runs.empty()) return std::nullopt;
    return runs.front();
  });
}

std::vector<RunRecord> RunRegistry::lineage(std::int64_t id) {
  return impl_->guarded([&] {
    std::vector<std::int64_t> ids;
    {
      // Without ORDER BY the queue of a recursive query is first in, first out: breadth first.
      SQLite::Statement query(*impl_->database,
                              "WITH RECURSIVE up (id) AS (VALUES (?) UNION SELECT parent_id FROM "
                              "run_parents JOIN up ON run_id = up.id) SELECT id FROM up");
      query.bind(1, id);
      while (query.executeStep()) ids.push_back(query.getColumn(0).getInt64());
    }
    std::vector<RunRecord> runs;
    for (const std::int64_t ancestor : ids) runs.push_back(get(ancestor));
    return runs;
  });
}

}  // namespace stepstone
