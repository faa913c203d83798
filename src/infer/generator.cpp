#include "infer/generator.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "infer/stop_filter.h"
#include "io/utf8.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

// Tokens of a prompt that are read at once: enough for the matrix products, and it bounds the
// memory of the activations.
constexpr std::int64_t kPrefillChunk = 256;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double rate(std::int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

std::int64_t context_of(const TransformerConfig& config, std::int64_t max_context) {
  require<UsageError>(max_context >= 0, "context: {} is not a number of tokens", max_context);
  return max_context == 0 ? config.max_positions : std::min(config.max_positions, max_context);
}

const Transformer& packed(Stone& stone) {
  stone.model->pack(stone.compute);
  return *stone.model;
}

}  // namespace

std::string_view name_of(StopReason reason) {
  constexpr std::string_view kNames[] = {"max_tokens",   "stop_token",  "stop_string",
                                         "context_full", "interrupted", "grammar"};
  return kNames[static_cast<std::size_t>(reason)];
}

double GenerateStats::prefill_rate() const {
  return rate(prompt_tokens - cached_tokens, prefill_seconds);
}
// The first token comes out of the prefill.
double GenerateStats::decode_rate() const {
  return rate(std::max<std::int64_t>(0, new_tokens - 1), decode_seconds);
}

Json to_json(const GenerateStats& stats) {
  return {{"prompt_tokens", stats.prompt_tokens},
          {"cached_tokens", stats.cached_tokens},
          {"forgotten_tokens", stats.forgotten_tokens},
          {"new_tokens", stats.new_tokens},
          {"prefill_seconds", stats.prefill_seconds},
          {"decode_seconds", stats.decode_seconds},
          {"prefill_tokens_per_second", stats.prefill_rate()},
          {"decode_tokens_per_second", stats.decode_rate()}};
}

namespace {

SamplingParams with_breakers(SamplingParams params, const Tokenizer& tokenizer) {
  if (params.dry_multiplier > 0 && params.dry_breakers.empty()) {
    params.dry_breakers = dry_breakers(tokenizer);
  }
  return params;
}

}  // namespace

// One call of generate().
class Generator::Run {
 public:
  Run(Generator& generator, std::span<const std::int32_t> prompt, const GenerateOptions& options)
      : generator_(generator),
        options_(options),
        sampler_(with_breakers(options.sampling, generator.tokenizer_)),
        decoder_(generator.tokenizer_, true),
        filter_(options.stop_strings),
        text_(prompt.begin(), prompt.end()) {
    require<UsageError>(!text_.empty(), "the prompt is empty");
    require<UsageError>(options.max_tokens >= 0, "the number of new tokens must not be below 0");
    if (options.grammar) {
      if (!generator.tree_) {
        generator.tree_ = std::make_shared<const TokenTree>(generator.tokenizer_);
      }
      matcher_.emplace(options.grammar, generator.tree_);
    }
    result_.stats.prompt_tokens = static_cast<std::int64_t>(text_.size());
    fit_prompt();
  }

  Generation go() {
    const auto start = Clock::now();
    result_.stats.cached_tokens = generator_.cached_prefix(window());
    for (;;) {
      if (result_.stats.new_tokens == options_.max_tokens) {
        result_.reason = StopReason::max_tokens;
        break;
      }
      if (!make_room()) {
        result_.reason = StopReason::context_full;
        break;
      }
      const auto logits = generator_.next_logits(window(), options_);
      if (result_.stats.new_tokens == 0) result_.stats.prefill_seconds = seconds_since(start);
      if (!logits) {
        result_.reason = StopReason::interrupted;
        break;
      }
      const auto token = sample(*logits);
      if (!token) {
        result_.reason = StopReason::grammar;
        break;
      }
      if (!append(*token)) break;
    }
    if (!filter_.stopped()) {
      show(filter_.push(to_utf8_lossy(decoder_.flush())));
      if (filter_.stopped()) result_.reason = StopReason::stop_string;
      show(filter_.flush());
    }
    result_.stats.decode_seconds = seconds_since(start) - result_.stats.prefill_seconds;
    return std::move(result_);
  }

 private:
  std::int64_t capacity() const { return generator_.context(); }
  // What the model sees: everything that is not forgotten.
  std::span<const std::int32_t> window() const { return std::span(text_).subspan(begin_); }

  void fit_prompt() {
    const auto length = static_cast<std::int64_t>(text_.size());
    if (length <= capacity()) return;
    require<UsageError>(options_.when_full == WhenFull::forget,
                        "the prompt has {} tokens, and the context has room for {}", length,
                        capacity());
    forget();
  }

  bool make_room() {
    if (static_cast<std::int64_t>(window().size()) <= capacity()) return true;
    if (options_.when_full == WhenFull::stop) return false;
    forget();
    return true;
  }

  void forget() {
    const auto keep = static_cast<std::size_t>(std::max<std::int64_t>(1, capacity() / 2));
    result_.stats.forgotten_tokens += static_cast<std::int64_t>(window().size() - keep);
    begin_ = text_.size() - keep;
  }

  // Nothing when the grammar allows nothing more.
  std::optional<std::int32_t> sample(const Tensor& logits) {
    const auto vocab = static_cast<std::size_t>(generator_.tokenizer_.vocab_size());
    const auto known = logits.span<float>().first(vocab);
    if (matcher_ && !matcher_->mask(known, options_.stop_tokens)) return std::nullopt;
    return sampler_.sample(
        known, text_, options_.first_draw + static_cast<std::uint64_t>(result_.stats.new_tokens));
  }

  // False when the text ends with this token.
  bool append(std::int32_t token) {
    text_.push_back(token);
    result_.tokens.push_back(token);
    ++result_.stats.new_tokens;
    if (std::ranges::find(options_.stop_tokens, token) != options_.stop_tokens.end()) {
      result_.reason = StopReason::stop_token;
      return false;
    }
    if (matcher_) matcher_->accept(token);
    show(filter_.push(to_utf8_lossy(decoder_.push(token))));
    if (filter_.stopped()) result_.reason = StopReason::stop_string;
    return !filter_.stopped();
  }

  void show(const std::string& text) {
    if (text.empty()) return;
    result_.text += text;
    if (options_.on_text) options_.on_text(text);
  }

  Generator& generator_;
  const GenerateOptions& options_;
  TokenSampler sampler_;
  StreamDecoder decoder_;
  StopFilter filter_;
  std::optional<GrammarMatcher> matcher_;
  std::vector<std::int32_t> text_;
  std::size_t begin_ = 0;
  Generation result_;
};

Generator::Generator(const Transformer& model, Tokenizer tokenizer, DType compute,
                     std::int64_t max_context)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      compute_(compute),
      cache_(model.config(), context_of(model.config(), max_context), compute) {
  require<UsageError>(tokenizer_.vocab_size() <= model.config().vocab_size,
                      "the tokenizer has {} tokens, the model {} rows", tokenizer_.vocab_size(),
                      model.config().vocab_size);
}

Generator::Generator(Stone& stone, std::int64_t max_context)
    : Generator(packed(stone), stone.tokenizer, stone.compute, max_context) {}

Generation Generator::generate(std::span<const std::int32_t> prompt,
                               const GenerateOptions& options) {
  return Run(*this, prompt, options).go();
}

std::int64_t Generator::cached_prefix(std::span<const std::int32_t> text) const {
  const auto known = text.first(text.size() - 1);
  return std::ranges::mismatch(known, cached_).in1 - known.begin();
}

std::optional<Tensor> Generator::next_logits(std::span<const std::int32_t> text,
                                             const GenerateOptions& options) {
  const std::int64_t same = cached_prefix(text);
  cached_.resize(static_cast<std::size_t>(same));
  cache_.truncate(same);
  for (;;) {
    if (options.interrupted && options.interrupted()) return std::nullopt;
    const std::size_t done = cached_.size();
    const auto chunk = text.subspan(done, std::min<std::size_t>(kPrefillChunk, text.size() - done));
    Graph graph({.compute = compute_});
    const Tensor hidden = model_.hidden(graph, chunk, cache_).value();
    cached_.insert(cached_.end(), chunk.begin(), chunk.end());
    if (cached_.size() == text.size()) {
      return model_.logits(graph, hidden.slice(hidden.dim(0) - 1, hidden.dim(0)));
    }
  }
}

std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  if (const auto bos = tokenizer.bos(); bos && bos != tokenizer.eos()) tokens.push_back(*bos);
  tokenizer.encode_append(text, tokens);
  if (!tokens.empty()) return tokens;
  if (const auto eos = tokenizer.eos()) return {*eos};
  // The first of the characters that are known: mostly the line break too.
  if (tokenizer.model().kind == TokenizerModel::Kind::characters) return {0};
  return tokenizer.encode("\n");
}

std::vector<std::int32_t> stop_tokens(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> tokens;
  if (const auto eos = tokenizer.eos()) tokens.push_back(*eos);
  if (const auto end = tokenizer.special_id("<|im_end|>"); end && end != tokenizer.eos()) {
    tokens.push_back(*end);
  }
  return tokens;
}

}  // namespace stepstone
