// The merging loop of BPE training over counted words.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/bpe.h"

namespace stepstone {

class PairMerger {
 public:
  // Memory per word and per byte of it, with the lists of places at their largest.
  static constexpr std::size_t kBytesPerWord = 8;
  static constexpr std::size_t kBytesPerSymbol = 40;

  // `tokens` are the tokens of the start: no merge may make one of the first `specials` of them.
  PairMerger(std::vector<std::string> tokens, std::size_t specials,
             const std::array<std::int32_t, 256>& byte_ids);

  // A distinct word and how often it occurs. Throws Error at 2^32 bytes of words.
  void add_word(std::string_view word, std::uint64_t count);

  // Merges until there are `vocab_size` tokens, or no pair is left that occurs `min_frequency`
  // times (and once). `step(tokens so far)` is called after each merge.
  void run(std::int32_t vocab_size, std::uint64_t min_frequency,
           const std::function<void(std::int32_t)>& step);

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<Merge>& merges() const { return merges_; }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  struct Symbol {
    std::int32_t id;
    std::uint32_t previous, next;  // kNone at a word's ends
    std::uint32_t word;
  };
  struct Pair {
    std::int32_t left, right;
    std::int64_t count = 0;
    std::vector<std::uint32_t> fresh = {};  // places since the pair was last put in the queue
  };
  // Places of one pair; ordered by count, then by smaller ids.
  struct Candidate {
    std::int64_t count;
    std::int32_t left, right;
    std::uint32_t pair;
    std::uint32_t list;  // in lists_
    bool operator<(const Candidate& other) const;
  };

  Pair& pair_at(std::int32_t left, std::int32_t right);
  void change(std::int32_t left, std::int32_t right, std::int64_t count);
  void appear(std::int32_t left, std::int32_t right, std::int64_t count, std::uint32_t place);
  void count_pairs();
  void queue_fresh();
  std::int32_t result_of(const Candidate& top);
  void merge_places(const std::vector<std::uint32_t>& places, std::int32_t left, std::int32_t right,
                    std::int32_t result);

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int32_t> id_of_;
  std::unordered_set<std::string> forbidden_;
  std::array<std::int32_t, 256> byte_ids_;
  std::vector<Symbol> symbols_;
  std::vector<std::int64_t> counts_;  // per word
  std::unordered_map<std::uint64_t, std::uint32_t> pair_index_;
  std::vector<Pair> pairs_;
  std::vector<std::uint32_t> touched_;  // pairs with fresh places
  std::vector<Candidate> queue_;        // a heap
  std::vector<std::vector<std::uint32_t>> lists_;
  std::vector<std::uint32_t> free_lists_;
  std::vector<Merge> merges_;
  std::unordered_set<std::uint64_t> merged_;
};

}  // namespace stepstone
