// Token shards on disk: a folder of memory-mapped files and an index.
//
//   index.json             format, version, tokenizer hash, vocabulary, totals, the list of shards
//   tokens-00000.shard …   each as below
//   manifest.json          sizes and hashes of all of these (io/atomic_folder.h)
//
// The folder appears whole or not at all. A shard is little-endian:
//
//   offset  bytes
//        0      8  magic "STPSHARD"
//        8      4  version, 1
//       12      4  bytes per token: 2 or 4
//       16      8  number of tokens, t
//       24      8  number of documents, d
//       32      8  vocabulary: every token id is below it
//       40      8  bytes of text that the tokens stand for
//       48      8  flags: bit 0 = there is a loss mask
//       56     16  hash of the tokenizer (XXH3-128, low half first; zero if unknown)
//       72     16  hash of the payload: all bytes from 128 on
//       88      8  XXH3-64 of bytes 0 to 87
//       96     32  zero
//      128         (d + 1) × 8: the first token of each document; then t
//      then, from the next multiple of 64 (zeros between), t × 2 or 4: the token ids
//      then, likewise, with flag bit 0: ceil(t / 8): bit i, least significant first, tells whether
//                  token i is a training target
//   The file ends there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "io/atomic_folder.h"
#include "io/hash.h"

namespace stepstone {

struct TokenShardOptions {
  std::int64_t vocab_size = 0;
  Hash128 tokenizer_hash = {};  // what the reader will compare with its tokenizer
  bool mask = false;            // documents come with a loss mask
  // A shard is closed at the first document end beyond this; it is built in memory.
  std::int64_t tokens_per_shard = std::int64_t{32} << 20;
};

// Writes a dataset. Nothing is at `folder` before finish(); an older dataset there is replaced, one
// whose index is damaged is refused (FormatError), and so is any other folder (UsageError). IoError
// when the disk refuses.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, const TokenShardOptions& options);

  // One document. `mask`: one entry (0 or 1) per token where options.mask is set, else empty.
  // `text_bytes`: bytes of text that the tokens stand for. Ids outside the vocabulary: UsageError.
  void add(std::span<const std::int32_t> tokens, std::int64_t text_bytes,
           std::span<const std::uint8_t> mask = {});
  void finish();

  // Where it is written until finish(): what else is put there belongs to the dataset.
  const std::filesystem::path& path() const { return folder_.path(); }
  bool has_mask() const { return options_.mask; }
  // Added so far.
  std::int64_t tokens() const { return total_tokens_ + static_cast<std::int64_t>(tokens_.size()); }
  std::int64_t documents() const {
    return total_documents_ + static_cast<std::int64_t>(starts_.size()) - 1;
  }

 private:
  struct Entry {
    std::string file;
    std::int64_t tokens, documents, text_bytes;
    std::uint64_t size;
    Hash128 hash;
  };
  void write_shard();

  AtomicFolder folder_;
  TokenShardOptions options_;
  std::vector<std::uint32_t> tokens_;
  std::vector<std::uint64_t> starts_ = {0};
  std::vector<std::uint8_t> mask_;
  std::int64_t text_bytes_ = 0, total_tokens_ = 0, total_documents_ = 0, total_text_bytes_ = 0;
  std::vector<Entry> shards_;
};

struct ShardInfo {
  Hash128 tokenizer_hash;
  std::int64_t vocab_size = 0;
  std::int64_t tokens = 0, documents = 0, text_bytes = 0;
  bool mask = false;
};

struct OpenShardsOptions {
  // Read every byte once and compare hashes and token ids. Without it only the headers, the sizes
  // and the document index are checked: for corpora that are too big to read at each start.
  bool verify = true;
};

struct OpenedShards {
  ShardInfo info;
  Dataset dataset;
};

// Maps a dataset that ShardWriter wrote. FormatError names the file and the field of anything
// that does not fit: truncation, a changed bit, counts that do not agree, a missing shard.
OpenedShards open_shards(const std::filesystem::path& folder,
                         const OpenShardsOptions& options = {});

// True when `folder` holds a dataset's index.json, or shards whose index is damaged or lost: what
// open_shards() then says of it is better than to take it for a folder of something else.
bool is_shard_folder(const std::filesystem::path& folder);
// That, or a folder whose parts train/ and val/ (if there is one) are datasets.
bool is_token_folder(const std::filesystem::path& folder);

// FormatError unless the dataset was made with this tokenizer.
void require_tokenizer(const OpenedShards& shards, const std::filesystem::path& folder,
                       Hash128 tokenizer_hash, std::int64_t vocab_size);

}  // namespace stepstone
