#include "tokenizer/pair_merger.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "tokenizer/byte_level.h"

namespace stepstone {
namespace {

std::uint64_t key_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

bool PairMerger::Candidate::operator<(const Candidate& other) const {
  if (count != other.count) return count < other.count;
  if (left != other.left) return left > other.left;
  if (right != other.right) return right > other.right;
  return list > other.list;
}

PairMerger::PairMerger(std::vector<std::string> tokens, std::size_t specials,
                       const std::array<std::int32_t, 256>& byte_ids)
    : tokens_(std::move(tokens)), byte_ids_(byte_ids) {
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (id < specials) {
      if (const auto bytes = from_byte_level(tokens_[id])) forbidden_.insert(*bytes);
    } else {
      id_of_[tokens_[id]] = static_cast<std::int32_t>(id);
    }
  }
}

void PairMerger::add_word(std::string_view word, std::uint64_t count) {
  if (word.size() < 2) return;
  require(symbols_.size() + word.size() < kNone, "the distinct words are over 4 GiB");
  const auto begin = static_cast<std::uint32_t>(symbols_.size());
  const auto index = static_cast<std::uint32_t>(counts_.size());
  for (const char byte : word) {
    const auto at = static_cast<std::uint32_t>(symbols_.size());
    symbols_.push_back({byte_ids_[static_cast<unsigned char>(byte)], at - 1, at + 1, index});
  }
  symbols_[begin].previous = kNone;
  symbols_.back().next = kNone;
  counts_.push_back(static_cast<std::int64_t>(count));
}

PairMerger::Pair& PairMerger::pair_at(std::int32_t left, std::int32_t right) {
  const auto [found, fresh] =
      pair_index_.try_emplace(key_of(left, right), static_cast<std::uint32_t>(pairs_.size()));
  if (fresh) pairs_.push_back({.left = left, .right = right});
  return pairs_[found->second];
}

void PairMerger::change(std::int32_t left, std::int32_t right, std::int64_t count) {
  pair_at(left, right).count += count;
}

void PairMerger::appear(std::int32_t left, std::int32_t right, std::int64_t count,
                        std::uint32_t place) {
  Pair& pair = pair_at(left, right);
  pair.count += count;
  if (pair.fresh.empty()) touched_.push_back(static_cast<std::uint32_t>(&pair - pairs_.data()));
  pair.fresh.push_back(place);
}

void PairMerger::count_pairs() {
  for (std::uint32_t i = 0; i < symbols_.size(); ++i) {
    const Symbol& symbol = symbols_[i];
    if (symbol.next == kNone) continue;
    appear(symbol.id, symbols_[symbol.next].id, counts_[symbol.word], i);
  }
}

void PairMerger::queue_fresh() {
  for (const std::uint32_t index : touched_) {
    Pair& pair = pairs_[index];
    if (pair.count > 0) {
      std::uint32_t list = static_cast<std::uint32_t>(lists_.size());
      if (free_lists_.empty()) {
        lists_.emplace_back();
      } else {
        list = free_lists_.back();
        free_lists_.pop_back();
      }
      lists_[list] = std::move(pair.fresh);
      queue_.push_back({pair.count, pair.left, pair.right, index, list});
      std::push_heap(queue_.begin(), queue_.end());
    }
    pair.fresh = {};
  }
  touched_.clear();
}

// The id of the pair's token, a new one where there is none; -1 where there must be none.
std::int32_t PairMerger::result_of(const Candidate& top) {
  std::string token = tokens_[top.left] + tokens_[top.right];
  if (forbidden_.contains(token)) return -1;
  const auto [found, fresh] =
      id_of_.try_emplace(std::move(token), static_cast<std::int32_t>(tokens_.size()));
  if (fresh) tokens_.push_back(found->first);
  return found->second;
}

// Left to right, so that in "aaa" the first two merge. The merged pair's own count is left as it
// is: it has no place any more.
void PairMerger::merge_places(const std::vector<std::uint32_t>& places, std::int32_t left,
                              std::int32_t right, std::int32_t result) {
  for (const std::uint32_t place : places) {
    Symbol& symbol = symbols_[place];
    if (symbol.id != left || symbol.next == kNone) continue;
    Symbol& second = symbols_[symbol.next];
    if (second.id != right) continue;
    const std::int64_t count = counts_[symbol.word];
    if (symbol.previous != kNone) {
      const std::int32_t before = symbols_[symbol.previous].id;
      change(before, left, -count);
      appear(before, result, count, symbol.previous);
    }
    symbol.id = result;
    symbol.next = second.next;
    second.id = -1;
    if (symbol.next != kNone) {
      Symbol& after = symbols_[symbol.next];
      after.previous = place;
      change(right, after.id, -count);
      appear(result, after.id, count, place);
    }
  }
}

void PairMerger::run(std::int32_t vocab_size, std::uint64_t min_frequency,
                     const std::function<void(std::int32_t)>& step) {
  count_pairs();
  queue_fresh();
  while (static_cast<std::int32_t>(tokens_.size()) < vocab_size && !queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end());
    Candidate& top = queue_.back();
    const std::int64_t count = pairs_[top.pair].count;
    if (top.count != count) {  // it fell since it was queued
      top.count = count;
      std::push_heap(queue_.begin(), queue_.end());
      continue;
    }
    if (count < 1 || static_cast<std::uint64_t>(count) < min_frequency) break;
    const Candidate chosen = top;
    queue_.pop_back();
    const std::vector<std::uint32_t> places = std::move(lists_[chosen.list]);
    lists_[chosen.list] = {};
    free_lists_.push_back(chosen.list);
    const std::int32_t result = result_of(chosen);
    if (result < 0) continue;
    if (merged_.insert(key_of(chosen.left, chosen.right)).second) {
      merges_.push_back({chosen.left, chosen.right, result});
    }
    merge_places(places, chosen.left, chosen.right, result);
    queue_fresh();
    step(static_cast<std::int32_t>(tokens_.size()));
  }
}

}  // namespace stepstone
