// Tokenised documents: in memory or in memory-mapped shards, whole or a part of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "io/hash.h"

namespace stepstone {

// A stretch of the token stream of a dataset: [begin, end).
struct TokenRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// One shard's arrays. They point into memory that `owner` keeps alive.
struct ShardView {
  std::variant<std::span<const std::uint16_t>, std::span<const std::uint32_t>> tokens;
  // documents + 1 token offsets within the shard: the first 0, the last the number of tokens.
  std::span<const std::uint64_t> starts;
  // Bit i (least significant first) says whether token i is a target; empty: all are.
  std::span<const std::uint8_t> mask;
  std::shared_ptr<const void> owner;

  std::int64_t token_count() const {
    return std::visit([](auto t) { return static_cast<std::int64_t>(t.size()); }, tokens);
  }
  std::int64_t document_count() const { return static_cast<std::int64_t>(starts.size()) - 1; }
};

// Immutable and cheap to copy; copies and parts share the tokens. All offsets are in tokens of the
// concatenated stream of all shards.
class Dataset {
 public:
  // From memory. `starts` as in ShardView; empty means one document. `mask`, if not empty, has one
  // entry (0 or 1) per token. Throws UsageError for inconsistent sizes or negative ids.
  static Dataset from_tokens(std::span<const std::int32_t> tokens,
                             std::span<const std::uint64_t> starts = {},
                             std::span<const std::uint8_t> mask = {});
  explicit Dataset(std::vector<ShardView> shards);

  std::int64_t tokens() const { return range_.size(); }
  std::int64_t documents() const { return documents_; }
  bool has_mask() const { return has_mask_; }
  // False for a part whose documents do not lie side by side: it has no token stream.
  bool is_contiguous() const { return chosen_ == nullptr; }

  // Where document i lies. The first and last of a part made by slice() may be cut.
  TokenRange document(std::int64_t i) const;

  // Copies tokens (or loss-mask entries, 1 without a mask) of `range`, which counts from the
  // beginning of the whole stream, as document() does. Throws Error beyond the dataset.
  void copy_tokens(TokenRange range, std::int32_t* out) const;
  void copy_mask(TokenRange range, std::uint8_t* out) const;
  // Whether a document has a token that is to be predicted from the one before it.
  bool has_target() const;
  // The stretch of the stream that this dataset is.
  TokenRange range() const { return range_; }

  // The stretch of tokens [begin, end) of this dataset, counted from its own beginning. nanoGPT's
  // 90/10 split is slice(0, 9 n / 10) and slice(9 n / 10, n). Needs is_contiguous().
  Dataset slice(std::int64_t begin, std::int64_t end) const;

  // Splits by a hash of each document's tokens: about `fraction` of the documents into the second
  // part. Equal documents always go to the same side, whatever else is in the corpus.
  std::pair<Dataset, Dataset> split_by_hash(double fraction) const;

 private:
  Dataset part(std::vector<std::int64_t> documents) const;
  // Shard that holds a token or a document of the whole.
  std::size_t shard_of(const std::vector<std::int64_t>& firsts, std::int64_t index) const;
  TokenRange whole_document(std::int64_t i) const;
  std::int64_t document_at(std::int64_t token) const;

  std::shared_ptr<const std::vector<ShardView>> shards_;
  std::vector<std::int64_t> first_token_, first_document_;  // of each shard; one more at the end
  TokenRange range_;
  std::int64_t first_ = 0, documents_ = 0;  // of a contiguous part
  std::shared_ptr<const std::vector<std::int64_t>> chosen_;
  bool has_mask_ = false;
};

}  // namespace stepstone
