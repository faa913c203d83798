#include "models/transformer/ngrams.h"

#include <xxhash.h>

namespace stepstone {

void append_ngram_ids(std::span<const std::int32_t> history, std::span<const std::int32_t> tokens,
                      std::int64_t order, std::int64_t vocab_size, std::int64_t buckets,
                      std::vector<std::int32_t>& ids) {
  const auto past = static_cast<std::int64_t>(history.size());
  double combinations = 1;
  for (std::int64_t k = 0; k < order; ++k) combinations *= static_cast<double>(vocab_size);
  const bool exact = combinations <= static_cast<double>(buckets);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(tokens.size()); ++i) {
    std::uint64_t key = 0;
    for (std::int64_t k = 0; k < order && i - k >= -past; ++k) {
      const std::int64_t at = i - k;
      const std::int32_t token = at >= 0 ? tokens[static_cast<std::size_t>(at)]
                                         : history[static_cast<std::size_t>(past + at)];
      const auto id = static_cast<std::uint64_t>(token);
      key = exact ? key * static_cast<std::uint64_t>(vocab_size) + id
                  : XXH3_64bits_withSeed(&token, sizeof(token), key);
    }
    ids.push_back(static_cast<std::int32_t>(key % static_cast<std::uint64_t>(buckets)));
  }
}

}  // namespace stepstone
