#include "infer/perplexity.h"

#include <chrono>
#include <cmath>

#include "data/readers.h"
#include "infer/generator.h"

namespace stepstone {
namespace {

constexpr std::int64_t kStepTokens = 512;

// The windows and what counts in them.
struct Windows {
  std::int64_t count, distance, first;  // first: of a window's tokens, to be predicted
  bool bos;                             // replaces the first token

  Windows(std::int64_t tokens, const PerplexityOptions& o) {
    const bool strided = o.stride > 0;
    distance = strided ? o.stride : o.context;
    count = strided ? (tokens - o.context + o.stride - 1) / o.stride : tokens / o.context;
    if (o.chunks >= 0) count = std::min(count, o.chunks);
    first = strided ? o.context - o.stride : o.context / 2 + 1;
    bos = !strided;
  }
};

void check(const PerplexityOptions& o, std::int64_t tokens, std::int64_t most) {
  require<UsageError>(o.context >= 4 && o.context <= most,
                      "context: must be between 4 and the model's {}, not {}", most, o.context);
  require<UsageError>(o.stride >= 0 && o.stride < o.context, "stride: must be from 1 to {}, not {}",
                      o.context - 1, o.stride);
  require<UsageError>(o.chunks == -1 || o.chunks > 0, "chunks: must be above 0, or -1 for all");
  require<UsageError>(tokens >= 2 * o.context,
                      "perplexity over windows of {} tokens needs a text of at least {}, and this "
                      "one has {}",
                      o.context, 2 * o.context, tokens);
}

}  // namespace

Perplexity measure_perplexity(const Stone& stone, std::span<const std::int32_t> tokens,
                              const PerplexityOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  check(options, std::ssize(tokens), stone.model->config().max_positions);
  const Windows windows(std::ssize(tokens), options);
  const auto bos = prompt_tokens(stone.tokenizer, "").front();
  const bool begins_with_bos = stone.tokenizer.bos() == bos && stone.tokenizer.eos() != bos;
  EngineOptions engine{.context = options.context,
                       .step_tokens = kStepTokens,
                       .step_seconds = 1e9,
                       .cache = options.cache,
                       .reuse = false};
  engine.max_sequences =
      static_cast<std::size_t>(std::max<std::int64_t>(1, kStepTokens / options.context));
  Scheduler scheduler(*stone.model, stone.tokenizer, stone.compute, engine);
  Perplexity result;
  double sum = 0, squares = 0;
  const auto take = [&](EngineEvent event) {
    if (failed(event.finish)) throw Error(event.error);
    for (const ScoredToken& scored : event.prompt_logprobs) {
      const double x = -static_cast<double>(scored.token.logprob);
      sum += x;
      squares += x * x;
      ++result.tokens;
    }
    ++result.chunks;
    if (options.progress) options.progress(result.chunks, windows.count);
  };
  std::vector<EngineEvent> events;
  for (std::int64_t next = 0; result.chunks < windows.count;) {
    while (next < windows.count && scheduler.room() > 0) {
      const auto job = std::make_shared<EngineJob>();
      EngineRequest& r = job->request;
      const auto window = tokens.subspan(static_cast<std::size_t>(next++ * windows.distance),
                                         static_cast<std::size_t>(options.context));
      r.prompt.assign(window.begin(), window.end());
      if (windows.bos && begins_with_bos) r.prompt[0] = bos;
      r.prompt_logprobs = true;
      r.prompt_logprobs_from = windows.first;
      r.on_event = [&](EngineEvent event) { events.push_back(std::move(event)); };
      scheduler.check(r);
      scheduler.add(job);
    }
    scheduler.step();
    for (EngineEvent& event : std::exchange(events, {})) take(std::move(event));
  }
  const auto n = static_cast<double>(result.tokens);
  result.loss = sum / n;
  result.perplexity = std::exp(result.loss);
  const double variance = std::max(0.0, squares / n - result.loss * result.loss);
  result.error = n > 1 ? result.perplexity * std::sqrt(variance / (n - 1)) : 0;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::vector<PerplexityScore> measure_perplexity(const Stone& stone,
                                                const std::vector<std::string>& paths,
                                                const PerplexityOptions& options) {
  std::vector<PerplexityScore> scores;
  for (const auto& file : find_corpus_files(paths)) {
    std::string text = read_text(file);
    if (text.ends_with('\n')) text.pop_back();
    scores.push_back(
        {file.string(), measure_perplexity(stone, prompt_tokens(stone.tokenizer, text), options)});
  }
  return scores;
}

Json to_json(const std::vector<PerplexityScore>& scores) {
  Json list = Json::array();
  for (const auto& [file, s] : scores) {
    list.push_back({{"file", file},
                    {"chunks", s.chunks},
                    {"tokens", s.tokens},
                    {"loss", s.loss},
                    {"perplexity", s.perplexity},
                    {"error", s.error},
                    {"seconds", s.seconds}});
  }
  return list;
}

std::string to_table(const std::vector<PerplexityScore>& scores) {
  std::string out = fmt::format("{:>7} {:>10} {:>10} {:>12} {:>10}   {}\n", "windows", "tokens",
                                "loss", "perplexity", "+/-", "file");
  for (const auto& [file, s] : scores) {
    out += fmt::format("{:>7} {:>10} {:>10.5f} {:>12.4f} {:>10.5f}   {}\n", s.chunks, s.tokens,
                       s.loss, s.perplexity, s.error, file);
  }
  return out;
}

}  // namespace stepstone
