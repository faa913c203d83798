// Keys and values of growing sequences, in pages that sequences with the same beginning share.
//
// One thread at a time may use a pool and the caches on it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/transformer/config.h"
#include "ops/attention/attention.h"

namespace stepstone {

// What is asked for: none is what the model computes in.
struct CacheTypes {
  std::optional<BlockType> k = {}, v = {};

  ops::KvTypes with(DType compute) const {
    const ops::KvTypes computed = compute;
    return {k.value_or(computed.k), v.value_or(computed.v)};
  }
};

// Memory for a fixed number of pages. A page holds kKeyBlock positions of every layer.
class KvPool {
 public:
  // Throws UsageError unless `pages` is positive. Memory is touched only as pages are used.
  KvPool(const TransformerConfig& config, std::int64_t pages, const ops::KvTypes& types);

  static std::int64_t page_bytes(const TransformerConfig& config, const ops::KvTypes& types);
  static constexpr std::int64_t pages_of(std::int64_t tokens) {
    return (tokens + ops::kKeyBlock - 1) / ops::kKeyBlock;
  }

  std::int64_t pages() const { return std::ssize(owners_); }
  std::int64_t free_pages() const { return std::ssize(free_); }

 private:
  friend class KvCache;
  // Throws Error when no page is free.
  std::int32_t take();
  void share(std::int32_t page) { ++owners_[static_cast<std::size_t>(page)]; }
  void release(std::int32_t page);
  bool shared(std::int32_t page) const { return owners_[static_cast<std::size_t>(page)] > 1; }

  std::vector<ops::KvCacheLayer> layers_;
  std::vector<std::int32_t> owners_;  // of each page
  std::vector<std::int32_t> free_;
};

// One sequence. Takes its pages as it grows and gives them back as it shrinks or ends.
class KvCache {
 public:
  // With memory of its own for `capacity` tokens.
  KvCache(const TransformerConfig& config, std::int64_t capacity, const ops::KvTypes& types);
  KvCache(std::shared_ptr<KvPool> pool, std::int64_t capacity);
  KvCache(KvCache&&) = default;
  KvCache& operator=(KvCache&&) = delete;
  ~KvCache();

  std::int64_t length() const { return std::ssize(tokens_); }
  std::int64_t capacity() const { return capacity_; }
  std::span<const std::int32_t> tokens() const { return tokens_; }
  std::int64_t pages() const { return std::ssize(pages_); }

  // Forgets everything from `length` on.
  void truncate(std::int64_t length);
  // A sequence that begins with the first `length` tokens of this one. No key is copied until one
  // of the two writes to a page that both have.
  KvCache fork(std::int64_t length, std::int64_t capacity) const;
  // Pages that reserve(tokens) takes from the pool.
  std::int64_t pages_for(std::int64_t tokens) const;
  // Makes room for `tokens` more. Throws UsageError beyond the capacity, Error when the pool is
  // empty; then nothing has changed.
  void reserve(std::int64_t tokens);

 private:
  friend class Transformer;
  ops::CachedSequence layer(std::size_t i) const { return {&pool_->layers_[i], length(), pages_}; }
  void append(std::span<const std::int32_t> tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  // Index of the page that the next token goes to.
  std::size_t next_page() const { return tokens_.size() / ops::kKeyBlock; }
  // Another sequence has that page too.
  bool writes_shared() const;

  std::shared_ptr<KvPool> pool_;
  std::int64_t capacity_;
  std::vector<std::int32_t> pages_;
  std::vector<std::int32_t> tokens_;  // what is cached
};

}  // namespace stepstone
