// Who used how many tokens on which day, kept in an SQLite file.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace stepstone {

struct TokenCount {
  std::int64_t requests = 0, input = 0, output = 0;

  TokenCount& operator+=(const TokenCount& o) {
    requests += o.requests;
    input += o.input;
    output += o.output;
    return *this;
  }
};

// A new file or one of another process that counts too: sums are added up in it. Counts are written
// once a second and at the end, so a crash loses at most a second of them.
class UsageLedger {
 public:
  // Empty: in memory alone. Throws IoError or FormatError for a file that cannot be used.
  explicit UsageLedger(std::filesystem::path file = {});
  ~UsageLedger();

  // All from any thread, and none waits for the disk.
  void add(const std::string& holder, const TokenCount& count);
  // Tokens in and out of this day, UTC.
  std::int64_t tokens_today(const std::string& holder) const;
  // By day ("2026-05-17", UTC), oldest first.
  std::map<std::string, TokenCount> days_of(const std::string& holder) const;
  // Seconds to the next day, UTC.
  static std::int64_t seconds_left_today();

 private:
  class File;
  using Counts = std::map<std::string, std::map<std::string, TokenCount>>;  // holder, day
  void run();

  std::unique_ptr<File> file_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Counts known_, unwritten_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace stepstone
