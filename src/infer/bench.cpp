#include "infer/bench.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/random.h"

namespace stepstone {
namespace {

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab, Random& random) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (auto& t : tokens) {
    t = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab)));
  }
  return tokens;
}

template <typename F>
double median_seconds(int repetitions, F&& once) {
  std::vector<double> seconds;
  for (int i = -1; i < repetitions; ++i) {  // the first warms up
    const auto start = std::chrono::steady_clock::now();
    once();
    const std::chrono::duration<double> d = std::chrono::steady_clock::now() - start;
    if (i >= 0) seconds.push_back(d.count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + std::ssize(seconds) / 2);
  return seconds[seconds.size() / 2];
}

// Texts of `depth` tokens each, with room for `more`.
std::vector<KvCache> begun_texts(const Transformer& model, const InferBenchOptions& o,
                                 std::int64_t count, std::int64_t more, Random& random) {
  constexpr std::int64_t kPiece = 512;
  std::vector<KvCache> caches;
  for (std::int64_t i = 0; i < count; ++i) {
    caches.emplace_back(model.config(), o.depth + more, o.cache.with(o.compute));
    for (std::int64_t left = o.depth; left > 0; left -= kPiece) {
      Graph graph({.compute = o.compute});
      model.hidden(graph, random_tokens(std::min(kPiece, left), model.config().vocab_size, random),
                   caches.back());
    }
  }
  return caches;
}

}  // namespace

std::vector<InferBenchRow> bench_infer(const Transformer& model, const InferBenchOptions& o) {
  const TransformerConfig& config = model.config();
  const std::int64_t longest = o.depth + std::max(o.prompt, o.generate);
  require<UsageError>(longest <= config.max_positions,
                      "bench infer: {} tokens, but the model's context is {}", longest,
                      config.max_positions);
  const std::string deep = o.depth > 0 ? fmt::format(" @ d{}", o.depth) : "";
  Random random(1);
  std::vector<InferBenchRow> rows;
  if (o.prompt > 0) {
    const auto tokens = random_tokens(o.prompt, config.vocab_size, random);
    auto caches = begun_texts(model, o, 1, o.prompt, random);
    const double seconds = median_seconds(o.repetitions, [&] {
      caches[0].truncate(o.depth);
      Graph graph({.compute = o.compute, .profiler = o.profiler});
      const std::int64_t last[] = {o.prompt - 1};
      model.logits(graph, model.hidden(graph, tokens, caches[0], last).value());
    });
    rows.push_back({fmt::format("pp{}{}", o.prompt, deep), o.prompt, seconds});
  }
  for (const std::int64_t width : o.sequences) {
    if (o.generate == 0) break;
    std::vector<std::int32_t> segments(static_cast<std::size_t>(width) + 1);
    std::iota(segments.begin(), segments.end(), 0);
    auto caches = begun_texts(model, o, width, o.generate, random);
    std::vector<KvCache*> pointers;
    for (KvCache& cache : caches) pointers.push_back(&cache);
    const double seconds = median_seconds(o.repetitions, [&] {
      for (KvCache& cache : caches) cache.truncate(o.depth);
      for (std::int64_t step = 0; step < o.generate; ++step) {
        Graph graph({.compute = o.compute, .profiler = o.profiler});
        const auto tokens = random_tokens(width, config.vocab_size, random);
        model.logits(graph, model.hidden(graph, tokens, segments, pointers).value());
      }
    });
    rows.push_back(
        {fmt::format("tg{}{}{}", o.generate, deep, width > 1 ? fmt::format(" x{}", width) : ""),
         width * o.generate, seconds});
  }
  return rows;
}

}  // namespace stepstone
