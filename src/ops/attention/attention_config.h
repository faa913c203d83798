#pragma once

#include <algorithm>
#include <cstdint>

namespace stepstone::ops {

struct AttentionConfig {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;  // divides heads; query head h reads key head h / (heads / kv_heads)
  std::int64_t head_dim = 0;
  float scale = 0;          // of the scores; 0: 1 / sqrt(head_dim)
  std::int64_t window = 0;  // keys further away than window - 1 are invisible; 0: no limit
  float softcap = 0;        // scores become softcap * tanh(score / softcap); 0: off
  bool causal = true;       // keys after the query are invisible
};

// The keys [begin, end) that the query at `position` of a document of `length` sees.
struct KeyRange {
  std::int64_t begin, end;
};
inline KeyRange visible_keys(const AttentionConfig& c, std::int64_t position, std::int64_t length) {
  const std::int64_t reach = c.window == 0 ? length : c.window - 1;
  return {std::max<std::int64_t>(0, position - reach),
          c.causal ? position + 1 : std::min(length, position + reach + 1)};
}

// Keys are walked in blocks of this many, aligned to the document's start.
inline constexpr std::int64_t kKeyBlock = 64;

// Width of a value row in the kernels: head_dim in whole vectors of every instruction set.
constexpr std::int64_t padded_head(std::int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// How a cache holds one block of one head: keys as [head_dim, kKeyBlock], so that decoding does not
// transpose the whole past for every token, values as [kKeyBlock, padded_head(head_dim)]. In q8_0
// these are integers, and f32 scales follow, one for each kScaled elements of a position: for keys
// [head_scales, kKeyBlock], for values [kKeyBlock, head_scales].
inline constexpr std::int64_t kScaled = 32;
constexpr std::int64_t head_scales(std::int64_t head_dim) {
  return (head_dim + kScaled - 1) / kScaled;
}

}  // namespace stepstone::ops
