#include "infer/scheduler.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "infer/step_batch.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxFinished = 256;
constexpr std::size_t kMaxChoices = 128;
// Fewer tokens say little about the speed of reading, and no budget is smaller.
constexpr std::int64_t kLeastPiece = 32;

double seconds_between(EngineClock::time_point from, EngineClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

double mebibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::int64_t context_of(const TransformerConfig& config, std::int64_t asked) {
  require<UsageError>(asked >= 0, "context: {} is not a number of tokens", asked);
  return asked == 0 ? config.max_positions : std::min(asked, config.max_positions);
}

// Of a page of the model's keys and values, and of the draft model's.
std::int64_t page_bytes(const TransformerConfig& config, DType compute, const EngineOptions& o) {
  std::int64_t bytes = KvPool::page_bytes(config, o.cache.with(compute));
  if (const auto& draft = o.speculation.model) {
    bytes += KvPool::page_bytes(draft->model->config(), o.cache.with(draft->compute));
  }
  return bytes;
}

// As many as max_sequences texts of `context` tokens need, within the memory there is.
std::int64_t pool_pages(std::int64_t page, const EngineOptions& options, std::int64_t context) {
  // A server is of no use to texts that are shorter than this, where the model takes longer ones.
  constexpr std::int64_t kLeastContext = 2048;
  const std::int64_t free = options.kv_bytes == 0 ? default_kv_bytes() : options.kv_bytes;
  const std::int64_t text = std::min(context, kLeastContext);
  const std::int64_t need = KvPool::pages_of(text);
  require<UsageError>(need <= free / page,
                      "keys and values of a single text of {} tokens need {:.1f} MiB, and {:.1f} "
                      "MiB are free for them",
                      text, mebibytes(need * page), mebibytes(free));
  const auto texts = static_cast<std::int64_t>(options.max_sequences);
  const auto share = static_cast<std::int64_t>(options.kv_share * static_cast<double>(free));
  return std::min(texts * KvPool::pages_of(context), std::max(need, share / page));
}

}  // namespace

std::int64_t default_kv_bytes() {
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE) / 4;
}

Scheduler::Scheduler(const Transformer& model, Tokenizer tokenizer, DType compute,
                     EngineOptions options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      compute_(compute),
      options_(options),
      dry_breakers_(std::make_shared<const DryBreakers>(tokenizer_, DryBreakers::defaults())) {
  const TransformerConfig& config = model.config();
  require<UsageError>(tokenizer_.vocab_size() <= config.vocab_size,
                      "the tokenizer has {} tokens, the model {} rows", tokenizer_.vocab_size(),
                      config.vocab_size);
  require<UsageError>(options.max_sequences > 0 && options.step_tokens > 0,
                      "an engine needs at least one sequence and one token per step");
  const std::int64_t context = context_of(config, options.context);
  const ops::KvTypes types = options.cache.with(compute);
  const std::int64_t page = page_bytes(config, compute, options);
  pool_ = std::make_shared<KvPool>(config, pool_pages(page, options, context), types);
  kv_bytes_ = pool_->pages() * page;
  context_ = std::min(context, pool_->pages() * ops::kKeyBlock);
  metrics_.pages = pool_->pages();
  metrics_.page_bytes = KvPool::page_bytes(config, types);
  if (options_.speculation.any()) {
    drafter_.emplace(options_.speculation, model, tokenizer_, options.cache, pool_->pages());
  }
}

Scheduler::~Scheduler() = default;

void Scheduler::check(const EngineRequest& request) const {
  require<UsageError>(!request.prompt.empty(), "the prompt is empty");
  for (const std::int32_t id : request.prompt) {
    require<UsageError>(id >= 0 && id < tokenizer_.vocab_size(),
                        "token {} of the prompt is not one of the {} there are", id,
                        tokenizer_.vocab_size());
  }
  for (const auto& [id, bias] : request.logit_bias) {
    require<UsageError>(id >= 0 && id < tokenizer_.vocab_size() && std::isfinite(bias),
                        "logit bias {} of token {}: there are {} tokens, and it must be a number",
                        bias, id, tokenizer_.vocab_size());
  }
  require<UsageError>(request.max_tokens >= 0, "the number of new tokens must not be below 0");
  require<UsageError>(request.choices >= 1 && request.choices <= kMaxChoices,
                      "{} choices: from 1 to {} are possible", request.choices, kMaxChoices);
  const auto length = static_cast<std::int64_t>(request.prompt.size());
  if (request.when_full == WhenFull::refuse) {
    require<UsageError>(
        length <= context_ && request.max_tokens <= context_ - length,
        "the prompt has {} tokens and {} more are asked for, but the context has room "
        "for {}",
        length, request.max_tokens, context_);
  } else {
    require<UsageError>(length <= context_ || request.when_full == WhenFull::forget,
                        "the prompt has {} tokens, and the context has room for {}", length,
                        context_);
    require<UsageError>(!request.embed && !request.prompt_logprobs,
                        "what is said of a prompt needs all of it in the context");
  }
  request.sampling.validate();
  const StopFilter stops(request.stop_strings);  // checks them
}

EngineMetrics Scheduler::metrics() const {
  const std::lock_guard lock(metrics_mutex_);
  return metrics_;
}

std::size_t Scheduler::room() const {
  const std::size_t taken = running_.size() + ready_.size();
  return taken < options_.max_sequences ? options_.max_sequences - taken : 0;
}

std::unique_ptr<EngineSequence> Scheduler::make_sequence(std::shared_ptr<EngineJob> job,
                                                         std::size_t choice) {
  return std::make_unique<EngineSequence>(std::move(job), choice, tokenizer_, tree_,
                                          options_.grammar, context_);
}

void Scheduler::add(std::shared_ptr<EngineJob> job) {
  EngineRequest& request = job->request;
  if (request.grammar && !tree_) tree_ = std::make_shared<const TokenTree>(tokenizer_);
  if (!request.sampling.dry_breakers) request.sampling.dry_breakers = dry_breakers_;
  ready_.insert(ready_.begin(), make_sequence(std::move(job), 0));
}

void Scheduler::reject(std::shared_ptr<EngineJob> job) {
  retire(*make_sequence(std::move(job), 0), FinishReason::cancelled);
}

void Scheduler::sweep_cancelled() {
  for (auto* list : {&running_, &ready_}) {
    for (const auto& s : *list) {
      if (s->job().cancelled) retire(*s, FinishReason::cancelled);
    }
    std::erase_if(*list, [](const auto& s) { return s->job().cancelled.load(); });
  }
  update_gauges();
}

void Scheduler::cancel_all() {
  for (auto* list : {&running_, &ready_}) {
    for (const auto& s : *list) retire(*s, FinishReason::cancelled);
    list->clear();
  }
  update_gauges();
}

void Scheduler::admit() {
  while (running_.size() < options_.max_sequences && !ready_.empty()) {
    auto s = std::move(ready_.back());
    ready_.pop_back();
    if (!s->admitted_before()) s->admitted = EngineClock::now();
    reuse_prefix(*s);
    running_.push_back(std::move(s));
  }
}

// The longest known beginning of the text, of this key's running and finished texts.
void Scheduler::reuse_prefix(EngineSequence& s) {
  const auto wanted = s.text().first(static_cast<std::size_t>(s.reusable()));
  const KvCache* best = nullptr;
  std::int64_t length = 0;
  std::size_t from_finished = finished_.size();
  const auto consider = [&](const std::string& key, const KvCache& cache) {
    if (key != s.request().key) return false;
    const auto same = std::ranges::mismatch(wanted, cache.tokens()).in1 - wanted.begin();
    if (same <= length) return false;
    best = &cache;
    length = same;
    return true;
  };
  if (options_.reuse) {
    for (std::size_t i = 0; i < finished_.size(); ++i) {
      if (consider(finished_[i]->key, finished_[i]->cache)) from_finished = i;
    }
    for (const auto& other : running_) {
      if (consider(other->request().key, *other->cache)) from_finished = finished_.size();
    }
  }
  s.cache.emplace(best ? best->fork(length, s.capacity()) : KvCache(pool_, s.capacity()));
  if (from_finished < finished_.size()) {  // now the most recently used
    const auto at = finished_.begin() + static_cast<std::ptrdiff_t>(from_finished);
    std::rotate(at, at + 1, finished_.end());
  }
  if (s.admitted_before()) return;
  s.count_reused(length);
  const std::lock_guard lock(metrics_mutex_);
  metrics_.prompt_tokens += s.prompt_length();
  metrics_.reused_tokens += length;
  metrics_.queue_seconds.observe(seconds_between(s.job().submitted, s.admitted));
}

// Pages for `tokens` more, if need be by forgetting finished texts, then by sending the youngest
// of the others back to wait. False: not in this step.
bool Scheduler::make_room(EngineSequence& s, std::int64_t tokens, const StepBatch& batch) {
  while (s.cache->pages_for(tokens) > pool_->free_pages()) {
    if (!finished_.empty()) {
      finished_.erase(finished_.begin());
      continue;
    }
    const auto victim = std::find_if(running_.rbegin(), running_.rend(), [&](const auto& other) {
      return other.get() != &s && other->cache && !batch.holds(*other);
    });
    if (victim == running_.rend()) return false;
    (*victim)->lose_caches();
    const std::lock_guard lock(metrics_mutex_);
    ++metrics_.preemptions;
  }
  s.cache->reserve(tokens);
  return true;
}

std::int64_t Scheduler::budget() const {
  if (rate_ == 0) return options_.step_tokens;
  const double in_time = std::min(rate_ * options_.step_seconds, 1e9);
  return std::min(options_.step_tokens, std::max(kLeastPiece, static_cast<std::int64_t>(in_time)));
}

void Scheduler::guess_ahead() {
  if (!drafter_) return;
  std::vector<EngineSequence*> writing;
  std::int64_t rows = 0;
  for (const auto& s : running_) {
    rows += s->fresh();
    if (s->decoding() && s->request().speculation.most != 0) writing.push_back(s.get());
  }
  const std::int64_t most = budget();
  try {
    drafter_->guess(writing, std::min(rows, most), std::max<std::int64_t>(0, most - rows));
  } catch (const std::exception&) {  // a draft model that fails is not asked again
    drafter_.reset();
    for (EngineSequence* s : writing) s->draft.clear();
  }
}

void Scheduler::fill(StepBatch& batch) {
  for (const auto& s : running_) {
    if (!s->cache || !s->decoding()) continue;
    if (s->draft.sent > 0 && make_room(*s, 1 + s->draft.sent, batch)) {
      batch.add(*s, 1);
      continue;
    }
    s->draft.sent = 0;
    if (make_room(*s, 1, batch)) batch.add(*s, 1);
  }
  std::int64_t reading =
      std::ranges::count_if(running_, [](const auto& s) { return s->cache && !s->decoding(); });
  std::int64_t left = std::max<std::int64_t>(1, budget() - std::ssize(batch.tokens));
  for (const auto& s : running_) {
    if (!s->cache || s->decoding() || left == 0) continue;
    // Prompts share the budget evenly, so a short one is soon through.
    const std::int64_t share = std::max<std::int64_t>(1, left / std::max<std::int64_t>(1, reading));
    --reading;
    const std::int64_t count = std::min(share, s->fresh());
    if (!make_room(*s, count, batch)) continue;
    batch.add(*s, count);
    left -= count;
  }
}

void Scheduler::step() {
  admit();
  if (running_.empty()) return;
  const auto start = EngineClock::now();
  guess_ahead();
  StepBatch batch;
  fill(batch);
  // Those who lost their pages wait; the oldest goes first again.
  for (auto s = running_.rbegin(); s != running_.rend(); ++s) {
    if (!(*s)->cache) ready_.push_back(std::move(*s));
  }
  std::erase(running_, nullptr);
  compute(batch);
  const double seconds = seconds_between(start, EngineClock::now());
  const std::int64_t tokens = std::ssize(batch.tokens);
  if (tokens >= kLeastPiece) {
    const double rate = static_cast<double>(tokens) / seconds;
    rate_ = rate_ == 0 ? rate : (rate_ + rate) / 2;
  }
  {
    const std::lock_guard lock(metrics_mutex_);
    ++metrics_.steps;
    metrics_.step_tokens += tokens;
    for (const auto& part : batch.parts) {
      const double share =
          seconds * static_cast<double>(part.end - part.begin) / static_cast<double>(tokens);
      (part.sequence->drawn() > 0 ? metrics_.decode_seconds : metrics_.prompt_seconds) += share;
    }
  }
  finish_step(batch);
  update_gauges();
}

void Scheduler::compute(StepBatch& batch) {
  for (auto& part : batch.parts) part.drawn = part.sequence->drawn();
  try {
    Graph graph({.compute = compute_});
    const Tensor states =
        model_.hidden(graph, batch.tokens, batch.segments, batch.caches, batch.rows).value();
    for (const auto& part : batch.parts) {
      part.sequence->saw(part.past, part.end - part.begin,
                         states.slice(part.first_state, part.last_state));
    }
    if (batch.wants_logits()) {
      batch.use_logits(model_.logits(graph, batch.gather_logit_states(states)));
    }
  } catch (const std::exception& e) {
    for (auto& part : batch.parts) part.fail(FinishReason::error, e.what());
  }
}

void Scheduler::finish_step(StepBatch& batch) {
  for (auto& part : batch.parts) {
    EngineSequence& s = *part.sequence;
    if (failed(part.failure)) {
      retire(s, part.failure, std::move(part.error));
      s.lose_caches();
      continue;
    }
    if (s.fresh() == 0 || s.drawn() > part.drawn || s.ended()) spawn_choices(s);
    count_drawn(s, part.drawn);
    const std::int64_t sent = s.draft.sent, accepted = s.accepted();
    const FinishReason reason = s.advance();
    if (sent > 0) {
      const std::lock_guard lock(metrics_mutex_);
      ++metrics_.drafts;
      metrics_.drafted_tokens += sent;
      metrics_.accepted_tokens += s.accepted() - accepted;
    }
    if (reason == FinishReason::none) continue;
    retire(s, reason);
    if (options_.reuse) {
      finished_.push_back(
          std::make_unique<Finished>(Finished{s.request().key, std::move(*s.cache)}));
      if (finished_.size() > kMaxFinished) finished_.erase(finished_.begin());
    }
    s.lose_caches();
  }
  std::erase_if(running_, [](const auto& s) { return !s->cache; });
}

void Scheduler::count_drawn(EngineSequence& s, std::int64_t before) {
  const std::int64_t drawn = s.drawn() - before;
  if (drawn == 0) return;
  const auto now = EngineClock::now();
  const std::lock_guard lock(metrics_mutex_);
  metrics_.generated_tokens += drawn;
  if (before == 0) {
    s.first_token = now;
    metrics_.first_token_seconds.observe(seconds_between(s.job().submitted, now));
    metrics_.prefill_seconds.observe(seconds_between(s.admitted, now));
  } else {
    metrics_.token_seconds.observe(seconds_between(s.last_token, now));
  }
  s.last_token = now;
}

// The other choices begin when the prompt is known, and share its pages.
void Scheduler::spawn_choices(EngineSequence& first) {
  if (std::exchange(first.shared_job()->spawned, true)) return;
  for (std::size_t i = first.request().choices; i-- > 1;) {
    ready_.push_back(make_sequence(first.shared_job(), i));
  }
}

void Scheduler::retire(EngineSequence& s, FinishReason reason, std::string error) {
  // When the first choice ends before the others exist, it speaks for them.
  const bool alone = !std::exchange(s.shared_job()->spawned, true);
  const auto now = EngineClock::now();
  {
    const std::lock_guard lock(metrics_mutex_);
    ++metrics_.finished[static_cast<std::size_t>(reason)];
    metrics_.request_seconds.observe(seconds_between(s.job().submitted, now));
    if (s.drawn() > 0) {
      metrics_.decode_time_seconds.observe(seconds_between(s.first_token, now));
    }
  }
  if (alone) {
    for (std::size_t i = 1; i < s.request().choices; ++i) {
      make_sequence(s.shared_job(), i)->finish(reason, error);
    }
  }
  s.finish(reason, std::move(error));
}

void Scheduler::update_gauges() {
  std::int64_t in_use = 0;
  for (const auto& s : running_) in_use += s->cache->pages();
  const std::lock_guard lock(metrics_mutex_);
  const std::int64_t taken = pool_->pages() - pool_->free_pages();
  metrics_.running = std::ssize(running_);
  metrics_.waiting = std::ssize(ready_);
  metrics_.pages_used = std::min(taken, in_use);
  metrics_.pages_cached = taken - metrics_.pages_used;
}

}  // namespace stepstone
