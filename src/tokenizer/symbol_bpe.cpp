#include <algorithm>
#include <bit>
#include <functional>

#include "core/error.h"
#include "tokenizer/subword.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFF;
constexpr std::size_t kShort = 48;

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}
std::uint64_t mix(std::uint64_t pair) { return pair * 0x9E3779B97F4A7C15u; }

// A word start after another character.
bool crosses_word(std::string_view token) {
  for (std::size_t at = 1; (at = token.find(kWordStart, at)) != std::string_view::npos; ++at) {
    if (at < 3 || token.substr(at - 3, 3) != kWordStart) return true;
  }
  return false;
}

}  // namespace

SymbolBpe::SymbolBpe(const std::vector<std::string>& tokens, const std::vector<SymbolMerge>& merges,
                     const std::vector<std::int32_t>& user_defined, Options options)
    : options_(std::move(options)) {
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) ids_.emplace(tokens[id], static_cast<std::int32_t>(id));
  }
  slots_.resize(std::bit_ceil(std::max<std::size_t>(2 * merges.size(), 16)));
  shift_ = 64 - std::countr_zero(slots_.size());
  std::vector<std::uint32_t> made_by(tokens.size(), 0);  // highest rank that makes it, plus 1
  words_stand_alone_ = user_defined.empty();
  for (const SymbolMerge& merge : merges) {
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = mix(pair) >> shift_;
    while (slots_[at].pair != ~std::uint64_t{0}) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {pair, merge.rank, merge.result};
    auto& maker = made_by[static_cast<std::size_t>(merge.result)];
    maker = std::max(maker, merge.rank + 1);
    words_stand_alone_ &= !crosses_word(tokens[static_cast<std::size_t>(merge.result)]);
  }
  for (const SymbolMerge& merge : merges) {
    for (const std::int32_t part : {merge.left, merge.right}) {
      ordered_ &= made_by[static_cast<std::size_t>(part)] <= merge.rank;
    }
  }
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  for (const std::int32_t id : user_defined) {
    entries.emplace_back(tokens[static_cast<std::size_t>(id)], id);
  }
  if (!entries.empty()) user_defined_ = Trie(std::move(entries));
}

const SymbolBpe::Slot* SymbolBpe::slot_of(const std::vector<Symbol>& symbols,
                                          std::uint32_t at) const {
  const Symbol& left = symbols[at];
  if (left.id < 0 || left.next == kNone || left.frozen || symbols[left.next].frozen) return nullptr;
  const std::uint64_t pair = pair_of(left.id, symbols[left.next].id);
  std::size_t slot = mix(pair) >> shift_;
  while (slots_[slot].pair != pair) {
    if (slots_[slot].pair == ~std::uint64_t{0}) return nullptr;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return &slots_[slot];
}

void SymbolBpe::merge_at(std::vector<Symbol>& symbols, std::uint32_t at, std::int32_t result) {
  Symbol& left = symbols[at];
  Symbol& right = symbols[left.next];
  left.id = result;
  left.next = right.next;
  right.id = -1;
  if (left.next != kNone) symbols[left.next].previous = at;
}

// Characters and user-defined symbols, with byte tokens or the unknown token for other characters.
void SymbolBpe::split(std::string_view piece, std::vector<Symbol>& symbols) const {
  const auto add = [&](std::int32_t id, bool frozen) {
    const auto at = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1, frozen});
  };
  const Unknowns& unknowns = options_.unknowns;
  const char* const end = piece.data() + piece.size();
  bool after_unknown = false;
  std::string spelled;
  for (const char* p = piece.data(); p < end;) {
    std::size_t longest = 0;
    std::int32_t special = -1;
    user_defined_.prefixes({p, static_cast<std::size_t>(end - p)},
                           [&](std::size_t length, std::int32_t id) {
                             longest = length;
                             special = id;
                           });
    if (longest > 0) {
      add(special, true);
      p += longest;
      after_unknown = false;
      continue;
    }
    const int length = utf8_step(p, end).length;
    spelled.assign(p, static_cast<std::size_t>(length));
    if (p != piece.data()) spelled.insert(0, options_.prefix);
    p += length;
    if (p == end) spelled += options_.suffix;
    const auto known = ids_.find(spelled);
    if (known != ids_.end()) {
      add(known->second, false);
      after_unknown = false;
    } else if (unknowns.bytes) {
      for (const char byte : spelled)
        add((*unknowns.bytes)[static_cast<unsigned char>(byte)], false);
    } else if (unknowns.unk && !(unknowns.fuse && after_unknown)) {
      add(*unknowns.unk, false);
      after_unknown = true;
    }
  }
  if (!symbols.empty()) {
    symbols[0].previous = kNone;
    symbols.back().next = kNone;
  }
}

void SymbolBpe::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  require(piece.size() < std::size_t{1} << 31, "a piece of {} bytes is too long to encode",
          piece.size());
  if (options_.ignore_merges) {
    if (const auto whole = ids_.find(std::string(piece)); whole != ids_.end()) {
      out.push_back(whole->second);
      return;
    }
  }
  std::vector<Symbol> symbols;
  split(piece, symbols);
  if (symbols.empty()) return;
  if (symbols.size() <= kShort) {
    merge_short(symbols);
  } else {
    merge_by_rank(symbols);
  }
  for (std::uint32_t at = 0; at != kNone; at = symbols[at].next) out.push_back(symbols[at].id);
}

void SymbolBpe::merge_short(std::vector<Symbol>& symbols) const {
  const Slot* slots[kShort];
  for (std::uint32_t i = 0; i < symbols.size(); ++i) slots[i] = slot_of(symbols, i);
  while (true) {
    std::uint32_t best = kNone;
    for (std::uint32_t i = 0; i < symbols.size(); ++i) {
      if (slots[i] != nullptr && (best == kNone || slots[i]->rank < slots[best]->rank)) best = i;
    }
    if (best == kNone) return;
    slots[symbols[best].next] = nullptr;
    merge_at(symbols, best, slots[best]->result);
    slots[best] = slot_of(symbols, best);
    if (const std::uint32_t before = symbols[best].previous; before != kNone) {
      slots[before] = slot_of(symbols, before);
    }
  }
}

// Ranks from a heap. Where a merge only enables later ones (ordered_), all places of a rank are
// done in one sweep; otherwise places are taken one at a time.
void SymbolBpe::merge_by_rank(std::vector<Symbol>& symbols) const {
  std::vector<std::uint64_t> heap;  // rank, then (ordered_) the bucket or the place
  std::vector<std::vector<std::uint32_t>> buckets;
  std::unordered_map<std::uint32_t, std::uint32_t> bucket_of;
  const auto push = [&](std::uint32_t rank, std::uint32_t rest) {
    heap.push_back(static_cast<std::uint64_t>(rank) << 32 | rest);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  const auto offer = [&](std::uint32_t at) {
    const Slot* const slot = slot_of(symbols, at);
    if (slot == nullptr) return;
    if (!ordered_) return push(slot->rank, at);
    const auto [found, fresh] =
        bucket_of.try_emplace(slot->rank, static_cast<std::uint32_t>(buckets.size()));
    if (fresh) {
      buckets.emplace_back();
      push(slot->rank, found->second);
    }
    buckets[found->second].push_back(at);
  };
  const auto merge = [&](std::uint32_t at, std::uint32_t rank) {
    const Slot* const slot = slot_of(symbols, at);
    if (slot == nullptr || slot->rank != rank) return;
    merge_at(symbols, at, slot->result);
    if (symbols[at].previous != kNone) offer(symbols[at].previous);
    offer(at);
  };
  for (std::uint32_t i = 0; i < symbols.size(); ++i) offer(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    const auto rest = static_cast<std::uint32_t>(heap.back());
    heap.pop_back();
    if (!ordered_) {
      merge(rest, rank);
      continue;
    }
    std::vector<std::uint32_t> places = std::move(buckets[rest]);
    bucket_of.erase(rank);
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    for (const std::uint32_t at : places) merge(at, rank);
  }
}

}  // namespace stepstone
