#include "tokenizer/word_counts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <queue>

#include "core/error.h"

namespace stepstone {
namespace {

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Not kept and not seen by the result, so any good mixing will do.
std::uint64_t hash_word(std::string_view word) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u ^ word.size();
  const char* p = word.data();
  std::size_t left = word.size();
  for (; left >= 8; left -= 8, p += 8) {
    std::uint64_t part;
    std::memcpy(&part, p, 8);
    hash = mix(hash ^ part, 0xA0761D6478BD642Fu);
  }
  std::uint64_t part = 0;
  std::memcpy(&part, p, left);
  return mix(hash ^ part, 0xE7037ED1A0B428DBu);
}

File nameless_file(const std::filesystem::path& folder) {
  return File::open(folder, O_TMPFILE | O_RDWR, 0600);
}

// Writes {u64 size, u64 count, bytes} per word, through a buffer.
class RunWriter {
 public:
  explicit RunWriter(const File& file) : file_(file) {}
  void put(std::string_view word, std::uint64_t count) {
    const std::uint64_t head[2] = {word.size(), count};
    buffer_.append(reinterpret_cast<const char*>(head), sizeof head);
    buffer_ += word;
    if (buffer_.size() >= kBuffer) flush();
  }
  void flush() {
    file_.write(buffer_.data(), buffer_.size());
    written_ += buffer_.size();
    buffer_.clear();
  }
  std::uint64_t written() const { return written_; }

 private:
  static constexpr std::size_t kBuffer = std::size_t{1} << 18;
  const File& file_;
  std::string buffer_;
  std::uint64_t written_ = 0;
};

// The words of one run or of one sorted table, in order.
class Cursor {
 public:
  Cursor(const File& file, std::uint64_t begin, std::uint64_t end, std::size_t buffer_bytes)
      : file_(&file), position_(begin), left_(end - begin), buffer_bytes_(buffer_bytes) {
    next();
  }
  explicit Cursor(const WordTable& table) : table_(&table), entries_(table.sorted()) { next(); }

  bool done() const { return done_; }
  std::string_view word() const { return word_; }
  std::uint64_t count() const { return count_; }

  void next() {
    if (table_ != nullptr) {
      done_ = index_ == entries_.size();
      if (done_) return;
      word_ = table_->word(entries_[index_]);
      count_ = entries_[index_++].count;
      return;
    }
    done_ = left_ == 0 && at_ == buffer_.size();
    if (done_) return;
    std::uint64_t head[2];
    take(head, sizeof head);
    own_.resize(head[0]);
    take(own_.data(), head[0]);
    word_ = own_;
    count_ = head[1];
  }

 private:
  void take(void* out, std::size_t size) {
    auto* to = static_cast<char*>(out);
    while (size > 0) {
      if (at_ == buffer_.size()) refill();
      const std::size_t part = std::min(size, buffer_.size() - at_);
      std::memcpy(to, buffer_.data() + at_, part);
      to += part;
      at_ += part;
      size -= part;
    }
  }

  void refill() {
    buffer_.resize(std::min<std::uint64_t>(buffer_bytes_, left_));
    ssize_t got;
    do {
      got = ::pread(file_->descriptor(), buffer_.data(), buffer_.size(),
                    static_cast<off_t>(position_));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) throw IoError("read", file_->path().string(), got < 0 ? errno : EIO);
    buffer_.resize(static_cast<std::size_t>(got));
    at_ = 0;
    position_ += static_cast<std::uint64_t>(got);
    left_ -= static_cast<std::uint64_t>(got);
  }

  const File* file_ = nullptr;
  std::uint64_t position_ = 0;
  std::uint64_t left_ = 0;
  std::size_t buffer_bytes_ = 0;
  std::string buffer_, own_;
  std::size_t at_ = 0;
  const WordTable* table_ = nullptr;
  std::vector<WordTable::Entry> entries_;
  std::size_t index_ = 0;
  bool done_ = false;
  std::string_view word_;
  std::uint64_t count_ = 0;
};

}  // namespace

void WordTable::add(std::string_view word) {
  if (needs_growth()) grow();
  const std::uint64_t hash = hash_word(word);
  for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    Entry& entry = slots_[at];
    if (entry.count == 0) {
      entry = {hash, 1, arena_.size(), word.size()};
      arena_ += word;
      ++size_;
      return;
    }
    if (entry.hash == hash && this->word(entry) == word) {
      ++entry.count;
      return;
    }
  }
}

void WordTable::clear() {
  slots_ = {};
  arena_ = {};
  size_ = 0;
}

std::size_t WordTable::bytes_after(std::size_t next_word) const {
  // A growing table or arena exists twice for a moment.
  std::size_t bytes = slots_.size() * sizeof(Entry) + arena_.capacity();
  if (needs_growth()) bytes += 2 * slots_.size() * sizeof(Entry);
  if (arena_.size() + next_word > arena_.capacity()) {
    bytes += std::max(2 * arena_.capacity(), arena_.size() + next_word);
  }
  return bytes;
}

std::vector<WordTable::Entry> WordTable::sorted() const {
  std::vector<Entry> entries;
  entries.reserve(size_);
  for (const Entry& entry : slots_) {
    if (entry.count != 0) entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(),
            [this](const Entry& a, const Entry& b) { return word(a) < word(b); });
  return entries;
}

void WordTable::grow() {
  std::vector<Entry> old(std::max<std::size_t>(2 * slots_.size(), 1024));
  old.swap(slots_);
  for (const Entry& entry : old) {
    if (entry.count == 0) continue;
    std::size_t at = entry.hash & (slots_.size() - 1);
    while (slots_[at].count != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = entry;
  }
}

WordCounts::WordCounts(int tables, std::size_t memory_bytes, std::filesystem::path folder)
    : tables_(tables), memory_bytes_(memory_bytes), folder_(std::move(folder)) {}

void WordCounts::add(int table, std::string_view word) {
  WordTable& counts = tables_[table];
  const std::size_t limit = memory_bytes_ / tables_.size();
  if (counts.bytes_after(word.size()) > limit && counts.size() > 0) spill(counts);
  counts.add(word);
}

void WordCounts::spill(WordTable& table) {
  const auto entries = table.sorted();
  const std::lock_guard lock(mutex_);
  if (!file_.is_open()) file_ = nameless_file(folder_);
  RunWriter writer(file_);
  for (const WordTable::Entry& entry : entries) writer.put(table.word(entry), entry.count);
  writer.flush();
  const std::uint64_t begin = runs_.empty() ? 0 : runs_.back().end;
  runs_.push_back({begin, begin + writer.written()});
  table.clear();
}

void WordCounts::for_each(const Visit& visit) const {
  std::vector<Cursor> cursors;
  cursors.reserve(tables_.size() + runs_.size());  // a moved cursor would lose its word
  for (const WordTable& table : tables_) cursors.emplace_back(table);
  const std::size_t buffer_bytes =
      std::clamp<std::size_t>(memory_bytes_ / (4 * runs_.size() + 1), 4096, 65536);
  for (const Run& run : runs_) cursors.emplace_back(file_, run.begin, run.end, buffer_bytes);
  const auto after = [&](std::size_t a, std::size_t b) {
    return cursors[a].word() > cursors[b].word();
  };
  std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(after)> queue(after);
  for (std::size_t i = 0; i < cursors.size(); ++i) {
    if (!cursors[i].done()) queue.push(i);
  }
  std::string word;
  while (!queue.empty()) {
    word = cursors[queue.top()].word();
    std::uint64_t count = 0;
    while (!queue.empty() && cursors[queue.top()].word() == word) {
      const std::size_t i = queue.top();
      queue.pop();
      count += cursors[i].count();
      cursors[i].next();
      if (!cursors[i].done()) queue.push(i);
    }
    visit(word, count);
  }
}

}  // namespace stepstone
