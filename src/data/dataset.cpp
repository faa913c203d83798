#include "data/dataset.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace stepstone {
namespace {

struct OwnedShard {
  std::vector<std::uint32_t> tokens;
  std::vector<std::uint64_t> starts;
  std::vector<std::uint8_t> mask;
};

void check_starts(std::span<const std::uint64_t> starts, std::size_t tokens) {
  require<UsageError>(!starts.empty() && starts.front() == 0 && starts.back() == tokens &&
                          std::is_sorted(starts.begin(), starts.end()),
                      "dataset: document starts must rise from 0 to the number of tokens");
}

}  // namespace

Dataset Dataset::from_tokens(std::span<const std::int32_t> tokens,
                             std::span<const std::uint64_t> starts,
                             std::span<const std::uint8_t> mask) {
  auto owned = std::make_shared<OwnedShard>();
  owned->tokens.reserve(tokens.size());
  for (const std::int32_t id : tokens) {
    require<UsageError>(id >= 0, "dataset: token id {} is negative", id);
    owned->tokens.push_back(static_cast<std::uint32_t>(id));
  }
  owned->starts.assign(starts.begin(), starts.end());
  if (starts.empty()) owned->starts = {0, tokens.size()};
  check_starts(owned->starts, tokens.size());
  if (!mask.empty()) {
    require<UsageError>(mask.size() == tokens.size(), "dataset: {} mask entries for {} tokens",
                        mask.size(), tokens.size());
    owned->mask.resize((tokens.size() + 7) / 8);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] != 0) owned->mask[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
    }
  }
  ShardView view{std::span<const std::uint32_t>(owned->tokens), owned->starts, owned->mask, owned};
  return Dataset({std::move(view)});
}

Dataset::Dataset(std::vector<ShardView> shards) {
  first_token_ = {0};
  first_document_ = {0};
  for (const ShardView& shard : shards) {
    first_token_.push_back(first_token_.back() + shard.token_count());
    first_document_.push_back(first_document_.back() + shard.document_count());
    has_mask_ = has_mask_ || !shard.mask.empty();
  }
  range_ = {0, first_token_.back()};
  documents_ = first_document_.back();
  shards_ = std::make_shared<const std::vector<ShardView>>(std::move(shards));
}

std::size_t Dataset::shard_of(const std::vector<std::int64_t>& firsts, std::int64_t index) const {
  return static_cast<std::size_t>(std::upper_bound(firsts.begin(), firsts.end(), index) -
                                  firsts.begin()) -
         1;
}

TokenRange Dataset::whole_document(std::int64_t i) const {
  const std::size_t s = shard_of(first_document_, i);
  const ShardView& shard = (*shards_)[s];
  const auto local = static_cast<std::size_t>(i - first_document_[s]);
  return {first_token_[s] + static_cast<std::int64_t>(shard.starts[local]),
          first_token_[s] + static_cast<std::int64_t>(shard.starts[local + 1])};
}

std::int64_t Dataset::document_at(std::int64_t token) const {
  const std::size_t s = shard_of(first_token_, token);
  const ShardView& shard = (*shards_)[s];
  const auto local = static_cast<std::uint64_t>(token - first_token_[s]);
  const auto after = std::upper_bound(shard.starts.begin(), shard.starts.end(), local);
  return first_document_[s] + (after - shard.starts.begin()) - 1;
}

TokenRange Dataset::document(std::int64_t i) const {
  require(i >= 0 && i < documents_, "dataset: document {} of {}", i, documents_);
  if (chosen_) return whole_document((*chosen_)[static_cast<std::size_t>(i)]);
  TokenRange range = whole_document(first_ + i);
  range.begin = std::max(range.begin, range_.begin);
  range.end = std::min(range.end, range_.end);
  return range;
}

void Dataset::copy_tokens(TokenRange range, std::int32_t* out) const {
  require(range.begin >= 0 && range.begin <= range.end && range.end <= first_token_.back(),
          "dataset: tokens {} to {} of {}", range.begin, range.end, first_token_.back());
  std::int64_t at = range.begin;
  while (at < range.end) {
    const std::size_t s = shard_of(first_token_, at);
    const std::int64_t stop = std::min(range.end, first_token_[s + 1]);
    const auto from = static_cast<std::size_t>(at - first_token_[s]);
    const auto count = static_cast<std::size_t>(stop - at);
    std::visit([&](auto tokens) { std::copy_n(tokens.begin() + from, count, out); },
               (*shards_)[s].tokens);
    out += count;
    at = stop;
  }
}

void Dataset::copy_mask(TokenRange range, std::uint8_t* out) const {
  require(range.begin >= 0 && range.begin <= range.end && range.end <= first_token_.back(),
          "dataset: tokens {} to {} of {}", range.begin, range.end, first_token_.back());
  for (std::int64_t at = range.begin; at < range.end;) {
    const std::size_t s = shard_of(first_token_, at);
    const ShardView& shard = (*shards_)[s];
    const std::int64_t stop = std::min(range.end, first_token_[s + 1]);
    for (; at < stop; ++at) {
      const auto bit = static_cast<std::size_t>(at - first_token_[s]);
      *out++ = shard.mask.empty() ? 1 : (shard.mask[bit / 8] >> (bit % 8)) & 1;
    }
  }
}

bool Dataset::has_target() const {
  constexpr std::int64_t kPiece = 1 << 16;
  std::vector<std::uint8_t> mask;
  for (std::int64_t i = 0; i < documents(); ++i) {
    const TokenRange all = document(i);
    for (std::int64_t at = all.begin + 1; at < all.end; at += kPiece) {
      const TokenRange piece{at, std::min(at + kPiece, all.end)};
      mask.resize(static_cast<std::size_t>(piece.size()));
      copy_mask(piece, mask.data());
      if (std::ranges::find(mask, 1) != mask.end()) return true;
    }
  }
  return false;
}

Dataset Dataset::slice(std::int64_t begin, std::int64_t end) const {
  require<UsageError>(is_contiguous(), "dataset: only a contiguous dataset can be sliced");
  require<UsageError>(begin >= 0 && begin <= end && end <= tokens(),
                      "dataset: slice {} to {} of {} tokens", begin, end, tokens());
  Dataset out = *this;
  out.range_ = {range_.begin + begin, range_.begin + end};
  out.first_ = out.documents_ = 0;
  if (begin < end) {
    out.first_ = document_at(out.range_.begin);
    out.documents_ = document_at(out.range_.end - 1) - out.first_ + 1;
  }
  return out;
}

Dataset Dataset::part(std::vector<std::int64_t> documents) const {
  Dataset out = *this;
  out.documents_ = static_cast<std::int64_t>(documents.size());
  std::int64_t tokens = 0;
  for (const std::int64_t i : documents) tokens += whole_document(i).size();
  out.range_ = {0, tokens};
  out.chosen_ = std::make_shared<const std::vector<std::int64_t>>(std::move(documents));
  return out;
}

std::pair<Dataset, Dataset> Dataset::split_by_hash(double fraction) const {
  require<UsageError>(fraction >= 0 && fraction <= 1, "dataset: a fraction lies between 0 and 1");
  require<UsageError>(is_contiguous() && tokens() == first_token_.back(),
                      "dataset: only a whole dataset can be split by hash");
  std::vector<std::int64_t> first, second;
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < documents_; ++i) {
    const TokenRange range = whole_document(i);
    ids.resize(static_cast<std::size_t>(range.size()));
    copy_tokens(range, ids.data());
    const Hash128 hash = hash_bytes({reinterpret_cast<const char*>(ids.data()), ids.size() * 4});
    const double where = static_cast<double>(hash.low >> 11) * 0x1p-53;
    (where < fraction ? second : first).push_back(i);
  }
  return {part(std::move(first)), part(std::move(second))};
}

}  // namespace stepstone
