// n-gram embeddings: beside its own vector, a token adds one for the n tokens that end with it,
// from a table of fixed size indexed by a hash. Short-range statistics then need no attention, so a
// small model learns them in far fewer steps (the idea: Huang et al. 2025, "Over-Tokenized
// Transformer").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace stepstone {

// The rows in a table of `buckets` rows for the n-grams that end at each token of one sequence;
// `history` is what came before tokens[0] (any length). Where fewer than n tokens are there, the
// n-gram is shorter. Exact (no two n-grams share a row) while vocab_size^n <= buckets.
void append_ngram_ids(std::span<const std::int32_t> history, std::span<const std::int32_t> tokens,
                      std::int64_t order, std::int64_t vocab_size, std::int64_t buckets,
                      std::vector<std::int32_t>& ids);

}  // namespace stepstone
