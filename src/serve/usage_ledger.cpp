#include "serve/usage_ledger.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr int kBusyMs = 10'000;
constexpr int kVersion = 1;

std::string day_of(std::chrono::system_clock::time_point time) {
  const std::chrono::year_month_day d(std::chrono::floor<std::chrono::days>(time));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(d.year()),
                     static_cast<unsigned>(d.month()), static_cast<unsigned>(d.day()));
}

std::string today() { return day_of(std::chrono::system_clock::now()); }

}  // namespace

class UsageLedger::File {
 public:
  explicit File(const std::filesystem::path& path)
      : db_(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs) {
    db_.exec("PRAGMA journal_mode=WAL");
    db_.exec("PRAGMA synchronous=NORMAL");
    const int version = db_.execAndGet("PRAGMA user_version").getInt();
    if (version != 0 && version != kVersion) {
      throw FormatError(path.string(), "user_version",
                        fmt::format("expected {}, got {}", kVersion, version));
    }
    db_.exec(
        "CREATE TABLE IF NOT EXISTS token_usage (holder TEXT NOT NULL, day TEXT NOT NULL, "
        "requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, "
        "PRIMARY KEY (holder, day)) WITHOUT ROWID");
    db_.exec(fmt::format("PRAGMA user_version={}", kVersion));
  }

  Counts read() {
    Counts counts;
    SQLite::Statement rows(
        db_, "SELECT holder, day, requests, input_tokens, output_tokens FROM token_usage");
    while (rows.executeStep()) {
      counts[rows.getColumn(0).getString()][rows.getColumn(1).getString()] = {
          rows.getColumn(2).getInt64(), rows.getColumn(3).getInt64(), rows.getColumn(4).getInt64()};
    }
    return counts;
  }

  void add(const Counts& counts) {
    SQLite::Transaction transaction(db_, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement insert(
        db_,
        "INSERT INTO token_usage VALUES (?, ?, ?, ?, ?) ON CONFLICT (holder, day) DO UPDATE SET "
        "requests = requests + excluded.requests, "
        "input_tokens = input_tokens + excluded.input_tokens, "
        "output_tokens = output_tokens + excluded.output_tokens");
    for (const auto& [holder, days] : counts) {
      for (const auto& [day, count] : days) {
        insert.bind(1, holder);
        insert.bind(2, day);
        insert.bind(3, count.requests);
        insert.bind(4, count.input);
        insert.bind(5, count.output);
        insert.exec();
        insert.reset();
      }
    }
    transaction.commit();
  }

 private:
  SQLite::Database db_;
};

UsageLedger::UsageLedger(std::filesystem::path file) {
  if (file.empty()) return;
  try {
    file_ = std::make_unique<File>(file);
    known_ = file_->read();
  } catch (const SQLite::Exception& e) {
    throw FormatError(file.string(), "usage", e.what());
  }
  thread_ = std::thread([this] { run(); });
}

UsageLedger::~UsageLedger() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void UsageLedger::run() {
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    wake_.wait_for(lock, std::chrono::seconds(1), [this] { return stopping_; });
    last = stopping_;
    if (unwritten_.empty()) continue;
    const Counts counts = std::exchange(unwritten_, {});
    lock.unlock();
    try {
      file_->add(counts);
      lock.lock();
    } catch (const SQLite::Exception& e) {
      // Kept, to be tried again.
      std::fprintf(stderr, "stepstone: usage is not being written: %s\n", e.what());
      lock.lock();
      for (const auto& [holder, days] : counts) {
        for (const auto& [day, count] : days) unwritten_[holder][day] += count;
      }
    }
  }
}

void UsageLedger::add(const std::string& holder, const TokenCount& count) {
  const std::lock_guard lock(mutex_);
  const std::string day = today();
  known_[holder][day] += count;
  if (file_) unwritten_[holder][day] += count;
}

std::int64_t UsageLedger::tokens_today(const std::string& holder) const {
  const std::lock_guard lock(mutex_);
  const auto days = known_.find(holder);
  if (days == known_.end()) return 0;
  const auto count = days->second.find(today());
  return count == days->second.end() ? 0 : count->second.input + count->second.output;
}

std::map<std::string, TokenCount> UsageLedger::days_of(const std::string& holder) const {
  const std::lock_guard lock(mutex_);
  const auto days = known_.find(holder);
  return days == known_.end() ? std::map<std::string, TokenCount>() : days->second;
}

std::int64_t UsageLedger::seconds_left_today() {
  const auto now = std::chrono::system_clock::now();
  const auto tomorrow = std::chrono::floor<std::chrono::days>(now) + std::chrono::days(1);
  return std::chrono::ceil<std::chrono::seconds>(tomorrow - now).count();
}

}  // namespace stepstone
