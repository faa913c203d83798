// Tokens of the words met lately: a fixed-size, two-way set-associative table. Words of up to 15
// bytes with up to 4 tokens go in; that is nearly all of a text.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace stepstone {

class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 15;
  static constexpr std::size_t kMaxTokens = 4;

  struct Key {
    std::uint64_t low = 0, high = 0;  // the bytes, zero-filled; the top byte is the length
    bool operator==(const Key&) const = default;
  };

  // `word` has 1 to 15 bytes; `end` is the end of the memory that may be read.
  static Key key_of(std::string_view word, const char* end) {
    Key key;
    const std::size_t size = word.size();
    if (end - word.data() >= 16) [[likely]] {
      std::memcpy(&key, word.data(), 16);
      if (size < 8) {
        key.low &= (std::uint64_t{1} << 8 * size) - 1;
        key.high = 0;
      } else {
        key.high &= (std::uint64_t{1} << 8 * (size - 8)) - 1;
      }
    } else {
      std::memcpy(&key, word.data(), size);
    }
    key.high |= static_cast<std::uint64_t>(size) << 56;
    return key;
  }

  WordCache() : sets_(std::size_t{1} << kSetBits) {}

  // Room for kMaxTokens is written at `out`; returns the number of tokens, 0 for an unknown word.
  std::size_t find(const Key& key, std::int32_t* out) const {
    const Set& set = sets_[set_of(key)];
    for (const Entry& entry : set) {
      if (entry.key == key) {
        std::memcpy(out, entry.ids, sizeof entry.ids);
        return entry.count();
      }
    }
    return 0;
  }

  void insert(const Key& key, const std::int32_t* ids, std::size_t count) {
    Set& set = sets_[set_of(key)];
    set[1] = set[0];
    set[0].key = key;
    for (std::size_t i = 0; i < kMaxTokens; ++i) set[0].ids[i] = i < count ? ids[i] : -1;
  }

 private:
  struct Entry {
    Key key;
    std::int32_t ids[kMaxTokens] = {-1, -1, -1, -1};
    std::size_t count() const { return 1 + (ids[1] >= 0) + (ids[2] >= 0) + (ids[3] >= 0); }
  };
  using Set = std::array<Entry, 2>;  // one cache line; the newer entry first
  static_assert(sizeof(Set) == 64);
  static constexpr int kSetBits = 14;  // 1 MiB: fits the second-level cache

  static std::size_t set_of(const Key& key) {
    const std::uint64_t mixed = (key.low ^ key.high * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    return (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93u >> (64 - kSetBits);
  }

  std::vector<Set> sets_;
};

}  // namespace stepstone
