// Byte-pair encoding of one piece: byte tokens, then the applicable merge of lowest rank, leftmost
// first, until none applies. (Sennrich et al. 2016, arXiv:1508.07909; ranks as in GPT-2.)
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace stepstone {

struct Merge {
  std::int32_t left, right, result;
  bool operator==(const Merge&) const = default;
};

class Bpe {
 public:
  static constexpr std::uint32_t kNoRank = 0xFFFFFFFF;

  Bpe() = default;
  // `byte_ids[b]` is the token of byte b; a merge's rank is its index.
  Bpe(const std::array<std::int32_t, 256>& byte_ids, std::vector<Merge> merges);

  // Working space; contents do not matter between calls.
  struct Scratch {
    struct Node {
      std::int32_t id;
      std::uint32_t previous, next;
    };
    struct Candidate {
      std::uint32_t rank, position;
      bool operator>(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : position > other.position;
      }
    };
    std::vector<Node> nodes;
    std::vector<Candidate> heap;
    std::vector<std::vector<std::uint32_t>> buckets;
    std::vector<std::uint32_t> bucket_of_rank;
  };

  // Appends the tokens of `piece`. O(n log n) time in the worst case, whatever the merges; linear
  // space. Throws Error for a piece of 2^31 bytes or more.
  void encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const;

  const std::array<std::int32_t, 256>& byte_ids() const { return byte_ids_; }
  const std::vector<Merge>& merges() const { return merges_; }

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    std::uint32_t rank = kNoRank;
    std::int32_t result = 0;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }

  std::uint32_t rank_of(std::int32_t left, std::int32_t right) const;
  void encode_short(std::string_view piece, std::vector<std::int32_t>& out) const;
  void encode_by_heap(std::string_view piece, Scratch& scratch,
                      std::vector<std::int32_t>& out) const;
  void encode_by_buckets(std::string_view piece, Scratch& scratch,
                         std::vector<std::int32_t>& out) const;
  void link_bytes(std::string_view piece, Scratch& scratch) const;
  std::uint32_t rank_at(const Scratch& scratch, std::uint32_t position) const;
  void merge_at(Scratch& scratch, std::uint32_t position, std::uint32_t rank) const;

  std::array<std::int32_t, 256> byte_ids_{};
  std::vector<Merge> merges_;
  std::vector<Slot> slots_;                // open addressing, a power of two
  std::vector<std::uint32_t> byte_ranks_;  // rank of each pair of bytes, 256 x 256
  int slot_shift_ = 64;
  // Every merge comes after those that make its parts, as training leaves them: then a merge never
  // enables one of lower rank, and whole ranks can be done at a time.
  bool ordered_ = true;
};

}  // namespace stepstone
