#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_map>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr std::size_t kShortPiece = 128;
constexpr std::uint32_t kNone = 0xFFFFFFFF;

std::uint64_t mix(std::uint64_t pair) { return pair * 0x9E3779B97F4A7C15u; }

}  // namespace

Bpe::Bpe(const std::array<std::int32_t, 256>& byte_ids, std::vector<Merge> merges)
    : byte_ids_(byte_ids), merges_(std::move(merges)), byte_ranks_(256 * 256, kNoRank) {
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(2 * merges_.size(), 16));
  slot_shift_ = 64 - std::countr_zero(slots);
  slots_.resize(slots);
  std::unordered_map<std::int32_t, std::uint32_t> last_maker;
  for (std::uint32_t rank = 0; rank < merges_.size(); ++rank) {
    const Merge& merge = merges_[rank];
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = mix(pair) >> slot_shift_;
    while (slots_[at].pair != kEmpty && slots_[at].pair != pair) at = (at + 1) & (slots - 1);
    slots_[at] = {pair, rank, merge.result};
    last_maker[merge.result] = rank;
  }
  for (std::uint32_t rank = 0; rank < merges_.size() && ordered_; ++rank) {
    for (const std::int32_t part : {merges_[rank].left, merges_[rank].right}) {
      const auto maker = last_maker.find(part);
      ordered_ = ordered_ && (maker == last_maker.end() || maker->second < rank);
    }
  }
  for (int left = 0; left < 256; ++left) {
    for (int right = 0; right < 256; ++right) {
      byte_ranks_[256 * left + right] = rank_of(byte_ids_[left], byte_ids_[right]);
    }
  }
}

std::uint32_t Bpe::rank_of(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t at = mix(pair) >> slot_shift_;
  while (slots_[at].pair != pair) {
    if (slots_[at].pair == kEmpty) return kNoRank;
    at = (at + 1) & (slots_.size() - 1);
  }
  return slots_[at].rank;
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const {
  if (merges_.empty()) {
    for (const char byte : piece) out.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  } else if (piece.size() <= kShortPiece) {
    encode_short(piece, out);
  } else {
    require(piece.size() < std::size_t{1} << 31,
            "a piece of {} bytes is too long to encode; the limit is 2^31 - 1", piece.size());
    if (ordered_) {
      encode_by_buckets(piece, scratch, out);
    } else {
      encode_by_heap(piece, scratch, out);
    }
  }
}

// Few symbols: looking at all of them for the lowest rank beats any structure.
void Bpe::encode_short(std::string_view piece, std::vector<std::int32_t>& out) const {
  const auto* bytes = reinterpret_cast<const unsigned char*>(piece.data());
  int n = static_cast<int>(piece.size());
  if (n == 0) return;
  std::int32_t ids[kShortPiece];
  std::uint32_t ranks[kShortPiece];  // of the pair (i, i + 1)
  for (int i = 0; i < n; ++i) ids[i] = byte_ids_[bytes[i]];
  for (int i = 0; i + 1 < n; ++i) ranks[i] = byte_ranks_[256 * bytes[i] + bytes[i + 1]];
  while (n > 1) {
    std::uint32_t lowest = kNoRank;
    for (int i = 0; i + 1 < n; ++i) lowest = std::min(lowest, ranks[i]);
    if (lowest == kNoRank) break;
    int at = 0;
    while (ranks[at] != lowest) ++at;
    ids[at] = merges_[lowest].result;
    --n;
    for (int i = at + 1; i < n; ++i) ids[i] = ids[i + 1];
    for (int i = at + 1; i + 1 < n; ++i) ranks[i] = ranks[i + 1];
    if (at > 0) ranks[at - 1] = rank_of(ids[at - 1], ids[at]);
    if (at + 1 < n) ranks[at] = rank_of(ids[at], ids[at + 1]);
  }
  out.insert(out.end(), ids, ids + n);
}

void Bpe::link_bytes(std::string_view piece, Scratch& scratch) const {
  const auto n = static_cast<std::uint32_t>(piece.size());
  scratch.nodes.resize(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    scratch.nodes[i] = {byte_ids_[static_cast<unsigned char>(piece[i])], i - 1, i + 1};
  }
  scratch.nodes[n - 1].next = kNone;  // nodes[0].previous wrapped to kNone
}

// Rank of the pair that starts at `position`; kNoRank at the end or where the node was merged away.
std::uint32_t Bpe::rank_at(const Scratch& scratch, std::uint32_t position) const {
  const Scratch::Node& node = scratch.nodes[position];
  if (node.id < 0 || node.next == kNone) return kNoRank;
  return rank_of(node.id, scratch.nodes[node.next].id);
}

void Bpe::merge_at(Scratch& scratch, std::uint32_t position, std::uint32_t rank) const {
  Scratch::Node& node = scratch.nodes[position];
  Scratch::Node& right = scratch.nodes[node.next];
  node.id = merges_[rank].result;
  node.next = right.next;
  right.id = -1;
  if (node.next != kNone) scratch.nodes[node.next].previous = position;
}

void Bpe::encode_by_heap(std::string_view piece, Scratch& scratch,
                         std::vector<std::int32_t>& out) const {
  link_bytes(piece, scratch);
  auto& heap = scratch.heap;
  heap.clear();
  for (std::uint32_t i = 0; i + 1 < piece.size(); ++i) {
    if (const std::uint32_t rank = rank_at(scratch, i); rank != kNoRank) heap.push_back({rank, i});
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto offer = [&](std::uint32_t position) {
    if (const std::uint32_t rank = rank_at(scratch, position); rank != kNoRank) {
      heap.push_back({rank, position});
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto [rank, position] = heap.back();
    heap.pop_back();
    if (rank_at(scratch, position) != rank) continue;
    merge_at(scratch, position, rank);
    if (scratch.nodes[position].previous != kNone) offer(scratch.nodes[position].previous);
    offer(position);
  }
  for (std::uint32_t i = 0; i != kNone; i = scratch.nodes[i].next) {
    out.push_back(scratch.nodes[i].id);
  }
}

// With ordered merges the ranks come up in ascending order, so all places of one rank are done in
// one sweep from left to right; only the ranks that occur are kept in the heap.
void Bpe::encode_by_buckets(std::string_view piece, Scratch& scratch,
                            std::vector<std::int32_t>& out) const {
  link_bytes(piece, scratch);
  auto& heap = scratch.heap;  // {rank, bucket}
  auto& buckets = scratch.buckets;
  heap.clear();
  scratch.bucket_of_rank.resize(merges_.size(), kNone);
  std::size_t used = 0;
  const auto offer = [&](std::uint32_t position) {
    const std::uint32_t rank = rank_at(scratch, position);
    if (rank == kNoRank) return;
    std::uint32_t& bucket = scratch.bucket_of_rank[rank];
    if (bucket == kNone) {
      bucket = static_cast<std::uint32_t>(used++);
      if (buckets.size() < used) buckets.emplace_back();
      heap.push_back({rank, bucket});
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
    buckets[bucket].push_back(position);
  };
  for (std::uint32_t i = 0; i + 1 < piece.size(); ++i) offer(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto [rank, bucket] = heap.back();
    heap.pop_back();
    scratch.bucket_of_rank[rank] = kNone;
    std::vector<std::uint32_t> places = std::move(buckets[bucket]);
    buckets[bucket].clear();
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    for (const std::uint32_t position : places) {
      if (rank_at(scratch, position) != rank) continue;
      merge_at(scratch, position, rank);
      if (scratch.nodes[position].previous != kNone) offer(scratch.nodes[position].previous);
      offer(position);
    }
  }
  for (std::uint32_t i = 0; i != kNone; i = scratch.nodes[i].next) {
    out.push_back(scratch.nodes[i].id);
  }
}

}  // namespace stepstone
