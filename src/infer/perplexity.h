// Perplexity of a long text, cut into windows as llama.cpp's perplexity tool cuts it, so that the
// numbers of the two can be compared.
//
// The text is one stream of tokens; a last line break is dropped. Without a stride, window i begins
// at token i * context, its first token is replaced by bos where texts begin with one, and of its
// predictions those of tokens context/2 + 1 … context - 1 count: perplexity = e^(mean of -ln p).
// With a stride, windows begin at multiples of it, and the last `stride` predictions of each count.
// The error is one standard deviation: perplexity * sqrt((E[x²] - E[x]²) / (n - 1)), x = -ln p.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "stone/stone.h"

namespace stepstone {

struct PerplexityOptions {
  std::int64_t context = 512;  // tokens per window
  std::int64_t stride = 0;     // 0: windows side by side
  std::int64_t chunks = -1;    // windows at most; -1: all
  CacheTypes cache = {};
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};
};

struct Perplexity {
  std::int64_t chunks = 0, tokens = 0;  // windows, and predictions that count
  double loss = 0;                      // mean of -ln p
  double perplexity = 0, error = 0;
  double seconds = 0;
};

// With the same log-probabilities that a server reports for the same tokens. The model must be
// packed. Throws UsageError for a context beyond the model's and for a text of less than two
// windows.
Perplexity measure_perplexity(const Stone& stone, std::span<const std::int32_t> tokens,
                              const PerplexityOptions& options);

struct PerplexityScore {
  std::string file;
  Perplexity score;
};
// Of each of the files, folders and globs.
std::vector<PerplexityScore> measure_perplexity(const Stone& stone,
                                                const std::vector<std::string>& paths,
                                                const PerplexityOptions& options);

Json to_json(const std::vector<PerplexityScore>& scores);
std::string to_table(const std::vector<PerplexityScore>& scores);

}  // namespace stepstone
