#include "infer/draft.h"

#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "infer/engine_sequence.h"

namespace stepstone {
namespace {

// What one more row costs a step of one row: measured from 0.03 (124 M parameters) to 0.06 (1 M) on
// two cores.
constexpr double kRowCost = 0.06;
// Tokens that a draft model reads in one step to catch up.
constexpr std::int64_t kReadTokens = 256;
// A match so long need not be longer.
constexpr std::size_t kLongMatch = 32;

bool same_vocabulary(const Tokenizer& a, const Tokenizer& b) {
  bool same = a.vocab_size() == b.vocab_size();
  for (std::int32_t id = 0; same && id < a.vocab_size(); ++id) {
    same = a.token_bytes(id) == b.token_bytes(id) && a.is_special(id) == b.is_special(id);
  }
  return same;
}

// Guesses that there is room for and that the request allows.
std::int64_t room(const EngineSequence& s) {
  const EngineRequest& r = s.request();
  const std::int64_t most = r.speculation.most.value_or(r.max_tokens);
  return std::min({most, r.max_tokens - s.drawn() - 1, s.capacity() - s.length()});
}

}  // namespace

std::shared_ptr<const Stone> load_draft_model(const std::filesystem::path& path) {
  auto stone = std::make_shared<Stone>(load_stone(path, Weights::as_stored));
  stone->model->pack(stone->compute);
  return stone;
}

std::vector<std::int32_t> looked_up(std::span<const std::int32_t> text, std::int64_t match,
                                    std::int64_t most) {
  std::vector<std::int32_t> found;
  const std::size_t n = text.size();
  std::size_t best = 0, longest = static_cast<std::size_t>(std::max<std::int64_t>(1, match)) - 1;
  for (std::size_t end = n - 1; end > longest && longest < kLongMatch; --end) {
    if (text[end - 1] != text[n - 1]) continue;
    std::size_t same = 1;
    while (same < end && same < kLongMatch && text[end - 1 - same] == text[n - 1 - same]) ++same;
    if (same > longest) {
      longest = same;
      best = end;
    }
  }
  if (best == 0) return found;
  for (std::size_t i = best; std::ssize(found) < most; ++i) {
    found.push_back(i < n ? text[i] : found[i - n]);
  }
  return found;
}

void DraftLength::observe(std::int64_t right, bool wrong) {
  constexpr double kKeep = 0.95;  // per guess: about the last 20 count
  for (std::int64_t i = 0; i < right + (wrong ? 1 : 0); ++i) {
    right_ = kKeep * right_ + (i < right ? 1 : 0);
    tried_ = kKeep * tried_ + 1;
  }
}

void DraftLength::rest() {
  constexpr double kForget = 1.0 / 64;
  right_ += kForget * (kRight - right_);
  tried_ += kForget * (kTried - tried_);
}

std::int64_t DraftLength::length(double worth) const {
  const double p = right_ / tried_;
  if (p < worth || worth >= 1) return 0;
  return static_cast<std::int64_t>(std::min(1e3, std::log(worth) / std::log(std::min(p, 0.999))));
}

void Draft::clear() {
  tokens.clear();
  sent = 0;
  looked_up.reset();
  source = Source::lookup;
}

Drafter::Drafter(const SpeculationOptions& options, const Transformer& target,
                 const Tokenizer& tokenizer, const CacheTypes& cache, std::int64_t pages)
    : options_(options) {
  require<UsageError>(options.lookup_match > 0 && options.lookup_most > 0 &&
                          options.model_most > 0 && options.model_least >= 0,
                      "speculation: numbers of tokens must be above 0");
  require<UsageError>(options.model_p_min >= 0 && options.model_p_min <= 1,
                      "speculation: a probability is from 0 to 1, not {}", options.model_p_min);
  if (!options.model) return;
  const Transformer& model = *options.model->model;
  require<UsageError>(same_vocabulary(tokenizer, options.model->tokenizer),
                      "the draft model has another vocabulary: it must be made with the "
                      "tokenizer of the model that it drafts for");
  // A step of one row takes as long as its weights take to be read.
  model_cost_ =
      static_cast<double>(model.packed_bytes()) / static_cast<double>(target.packed_bytes());
  pool_ = std::make_shared<KvPool>(model.config(), pages, cache.with(options.model->compute));
}

void Drafter::guess(std::span<EngineSequence* const> sequences, std::int64_t rows,
                    std::int64_t spare) {
  // Time per token without guesses, in steps of one row, against that of a row more.
  const double share = (1 + kRowCost * static_cast<double>(rows - 1)) / static_cast<double>(rows);
  const std::int64_t each = spare / std::max<std::int64_t>(1, std::ssize(sequences));
  std::vector<EngineSequence*> unknown;
  for (EngineSequence* s : sequences) {
    Draft& d = s->draft;
    const std::int64_t most = std::min(room(*s), each);
    if (options_.lookup) {
      d.tokens = looked_up(s->text(), options_.lookup_match, options_.lookup_most);
      if (!d.tokens.empty()) d.looked_up = d.tokens.front();
      d.sent = std::min({d.lookup_length.length(kRowCost / share), std::ssize(d.tokens), most});
    }
    if (d.sent <= 0) unknown.push_back(s);
  }
  if (options_.model) ask_model(unknown, each, (kRowCost + model_cost_) / share);
}

void Drafter::ask_model(std::span<EngineSequence* const> sequences, std::int64_t most,
                        double worth) {
  const auto least = [this](const EngineSequence& s) {
    return s.request().speculation.least.value_or(options_.model_least);
  };
  std::vector<EngineSequence*> wanting;
  for (EngineSequence* s : sequences) {
    Draft& d = s->draft;
    d.p_min = s->request().speculation.p_min.value_or(options_.model_p_min);
    d.wanted = std::min({d.model_length.length(worth), options_.model_most, most, room(*s)});
    if (d.wanted > 0 && d.wanted >= least(*s)) {
      wanting.push_back(s);
    } else {
      d.model_length.rest();
    }
  }
  const std::vector<EngineSequence*> known = read(wanting);
  for (bool more = true; more;) {
    std::vector<EngineSequence*> going_on;
    std::vector<std::int32_t> tokens, segments = {0};
    for (EngineSequence* s : known) {
      Draft& d = s->draft;
      if (std::ssize(d.tokens) == d.wanted || d.cache->length() == d.cache->capacity() ||
          d.cache->pages_for(1) > pool_->free_pages()) {
        continue;
      }
      d.cache->reserve(1);
      going_on.push_back(s);
      tokens.push_back(d.tokens.back());
      segments.push_back(static_cast<std::int32_t>(tokens.size()));
    }
    more = !going_on.empty();
    if (more) run(going_on, tokens, segments);
  }
  for (EngineSequence* s : known) {
    const std::int64_t made = std::ssize(s->draft.tokens);
    s->draft.sent = made >= least(*s) ? made : 0;
  }
}

std::vector<EngineSequence*> Drafter::read(std::span<EngineSequence* const> sequences) {
  std::vector<EngineSequence*> known, reading;
  std::vector<std::int32_t> tokens, segments = {0};
  std::int64_t budget = kReadTokens;
  for (EngineSequence* s : sequences) {
    Draft& d = s->draft;
    if (!d.cache) d.cache.emplace(pool_, options_.model->model->config().max_positions);
    const std::int64_t fresh = s->length() - d.cache->length();
    const std::int64_t count = std::min(fresh, budget);
    if (count == 0 || s->length() > d.cache->capacity() ||
        d.cache->pages_for(count) > pool_->free_pages()) {
      continue;
    }
    d.cache->reserve(count);
    const auto piece = s->text().subspan(static_cast<std::size_t>(d.cache->length()),
                                         static_cast<std::size_t>(count));
    tokens.insert(tokens.end(), piece.begin(), piece.end());
    segments.push_back(static_cast<std::int32_t>(tokens.size()));
    budget -= count;
    reading.push_back(s);
    if (count < fresh) continue;
    d.source = Draft::Source::model;
    d.tokens.clear();
    known.push_back(s);
  }
  if (!reading.empty()) run(reading, tokens, segments);
  return known;
}

void Drafter::run(std::span<EngineSequence* const> sequences, std::span<const std::int32_t> tokens,
                  std::span<const std::int32_t> segments) {
  const Transformer& model = *options_.model->model;
  std::vector<KvCache*> caches;
  for (EngineSequence* s : sequences) caches.push_back(&*s->draft.cache);
  Graph graph({.compute = options_.model->compute});
  const auto count = std::ssize(sequences);
  std::vector<std::int64_t> last;  // of each
  for (const std::int32_t end : segments.subspan(1)) last.push_back(end - 1);
  const Tensor logits =
      model.logits(graph, model.hidden(graph, tokens, segments, caches, last).value());
  parallel_for(count, 1, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) {
      EngineSequence& s = *sequences[static_cast<std::size_t>(i)];
      if (s.draft.cache->length() >= s.length()) s.guess(logits.slice(i, i + 1).span<float>());
    }
  });
}

}  // namespace stepstone
