#include "models/transformer/kv_cache.h"

#include <limits>
#include <numeric>

namespace stepstone {

KvPool::KvPool(const TransformerConfig& config, std::int64_t pages, const ops::KvTypes& types) {
  require<UsageError>(pages > 0 && pages <= std::numeric_limits<std::int32_t>::max(),
                      "cache: {} is not a possible number of pages", pages);
  for (std::int64_t i = 0; i < config.layers; ++i) {
    layers_.emplace_back(pages * ops::kKeyBlock, config.kv_heads, config.head_dim, types);
  }
  owners_.resize(static_cast<std::size_t>(pages), 0);
  free_.resize(owners_.size());
  // The lowest number is taken first, so that a short run touches little memory.
  std::iota(free_.rbegin(), free_.rend(), 0);
}

std::int64_t KvPool::page_bytes(const TransformerConfig& config, const ops::KvTypes& types) {
  return config.layers * ops::KvCacheLayer::block_bytes(config.kv_heads, config.head_dim, types);
}

std::int32_t KvPool::take() {
  require(!free_.empty(), "cache: all {} pages are in use", pages());
  const std::int32_t page = free_.back();
  free_.pop_back();
  owners_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvPool::release(std::int32_t page) {
  if (--owners_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

KvCache::KvCache(const TransformerConfig& config, std::int64_t capacity, const ops::KvTypes& types)
    : KvCache(std::make_shared<KvPool>(config, KvPool::pages_of(capacity), types), capacity) {}

KvCache::KvCache(std::shared_ptr<KvPool> pool, std::int64_t capacity)
    : pool_(std::move(pool)), capacity_(capacity) {}

KvCache::~KvCache() {
  for (const std::int32_t page : pages_) pool_->release(page);
}

void KvCache::truncate(std::int64_t length) {
  require<UsageError>(length >= 0 && length <= this->length(), "cache: cannot truncate {} to {}",
                      this->length(), length);
  tokens_.resize(static_cast<std::size_t>(length));
  while (pages() > KvPool::pages_of(length)) {
    pool_->release(pages_.back());
    pages_.pop_back();
  }
}

KvCache KvCache::fork(std::int64_t length, std::int64_t capacity) const {
  require<UsageError>(length >= 0 && length <= this->length() && length <= capacity,
                      "cache: cannot fork {} tokens of {}", length, this->length());
  KvCache twin(pool_, capacity);
  twin.tokens_.assign(tokens_.begin(), tokens_.begin() + length);
  twin.pages_.assign(pages_.begin(), pages_.begin() + KvPool::pages_of(length));
  for (const std::int32_t page : twin.pages_) pool_->share(page);
  return twin;
}

bool KvCache::writes_shared() const {
  return length() % ops::kKeyBlock != 0 && pool_->shared(pages_[next_page()]);
}

std::int64_t KvCache::pages_for(std::int64_t tokens) const {
  const std::int64_t more = KvPool::pages_of(length() + tokens) - pages();
  return std::max<std::int64_t>(0, more) + (tokens > 0 && writes_shared() ? 1 : 0);
}

void KvCache::reserve(std::int64_t tokens) {
  require<UsageError>(length() + tokens <= capacity_,
                      "context is full: {} tokens cached, {} more do not fit {}", length(), tokens,
                      capacity_);
  const std::int64_t need = pages_for(tokens);
  require(need <= pool_->free_pages(), "cache: {} more pages, and {} are free", need,
          pool_->free_pages());
  if (tokens > 0 && writes_shared()) {
    const std::int32_t own = pool_->take();
    std::int32_t& page = pages_[next_page()];
    for (ops::KvCacheLayer& layer : pool_->layers_) layer.copy_block(page, own);
    pool_->release(page);
    page = own;
  }
  while (pages() < KvPool::pages_of(length() + tokens)) pages_.push_back(pool_->take());
}

}  // namespace stepstone
