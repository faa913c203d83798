// Counting words in bounded memory: tables that, once full, go to disk as sorted runs; the runs are
// merged when the words are read back. Counts are exact, and the order of words is that of their
// bytes, so results depend neither on the memory nor on the number of tables.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace stepstone {

// One thread's counts: open addressing over words kept in one arena.
class WordTable {
 public:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint64_t count = 0;  // 0: empty
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  void add(std::string_view word);
  void clear();

  std::size_t size() const { return size_; }
  // Memory at most while one more word of `next_word` bytes goes in.
  std::size_t bytes_after(std::size_t next_word) const;
  std::string_view word(const Entry& entry) const {
    return std::string_view(arena_).substr(entry.offset, entry.size);
  }
  // The entries in use, by ascending bytes of the word.
  std::vector<Entry> sorted() const;

 private:
  bool needs_growth() const { return 4 * (size_ + 1) > 3 * slots_.size(); }
  void grow();

  std::vector<Entry> slots_;  // a power of two
  std::string arena_;
  std::size_t size_ = 0;
};

class WordCounts {
 public:
  using Visit = std::function<void(std::string_view word, std::uint64_t count)>;

  // `tables` threads count at a time; together their tables stay below `memory_bytes` (but one may
  // always hold a word). Runs go to one nameless file in `folder`: a killed process leaves nothing.
  WordCounts(int tables, std::size_t memory_bytes, std::filesystem::path folder);

  // Counts one word in table `table`, which only one thread may use at a time. Throws IoError.
  void add(int table, std::string_view word);

  // Visits each distinct word once, in ascending order of bytes. May be called again. Throws
  // IoError.
  void for_each(const Visit& visit) const;

  std::size_t run_count() const { return runs_.size(); }

 private:
  struct Run {
    std::uint64_t begin, end;  // in file_
  };
  void spill(WordTable& table);

  std::vector<WordTable> tables_;
  std::size_t memory_bytes_;
  std::filesystem::path folder_;
  std::mutex mutex_;  // of the runs
  File file_;
  std::vector<Run> runs_;
};

}  // namespace stepstone
