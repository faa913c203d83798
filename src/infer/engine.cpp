#include "infer/engine.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "infer/engine_sequence.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxFinished = 256;
constexpr std::size_t kMaxChoices = 128;

double seconds_between(EngineClock::time_point from, EngineClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::int64_t context_of(const TransformerConfig& config, std::int64_t asked) {
  require<UsageError>(asked >= 0, "context: {} is not a number of tokens", asked);
  return asked == 0 ? config.max_positions : std::min(asked, config.max_positions);
}

std::int64_t machine_memory() {
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

std::int64_t pool_pages(const TransformerConfig& config, DType compute,
                        const EngineOptions& options, std::int64_t context) {
  const std::int64_t page = KvPool::page_bytes(config, compute);
  const auto texts = static_cast<std::int64_t>(options.max_sequences);
  const std::int64_t all = texts * KvPool::pages_of(context);
  if (options.kv_bytes == 0) return std::clamp<std::int64_t>(machine_memory() / 4 / page, 1, all);
  require<UsageError>(options.kv_bytes >= page,
                      "{} bytes for keys and values are less than one page of {}", options.kv_bytes,
                      page);
  return std::min(all, options.kv_bytes / page);
}

void check(const EngineRequest& request, const Tokenizer& tokenizer, std::int64_t context) {
  require<UsageError>(!request.prompt.empty(), "the prompt is empty");
  for (const std::int32_t id : request.prompt) {
    require<UsageError>(id >= 0 && id < tokenizer.vocab_size(),
                        "token {} of the prompt is not one of the {} there are", id,
                        tokenizer.vocab_size());
  }
  for (const auto& [id, bias] : request.logit_bias) {
    require<UsageError>(id >= 0 && id < tokenizer.vocab_size() && std::isfinite(bias),
                        "logit bias {} of token {}: there are {} tokens, and it must be a number",
                        bias, id, tokenizer.vocab_size());
  }
  require<UsageError>(request.max_tokens >= 0, "the number of new tokens must not be below 0");
  require<UsageError>(request.choices >= 1 && request.choices <= kMaxChoices,
                      "{} choices: from 1 to {} are possible", request.choices, kMaxChoices);
  const auto length = static_cast<std::int64_t>(request.prompt.size());
  require<UsageError>(
      length <= context && request.max_tokens <= context - length,
      "the prompt has {} tokens and {} more are asked for, but the context has room "
      "for {}",
      length, request.max_tokens, context);
  request.sampling.validate();
  const StopFilter stops(request.stop_strings);  // checks them
}

}  // namespace

std::string_view name_of(FinishReason reason) {
  constexpr std::string_view kNames[] = {"none", "stop", "length", "cancelled", "error"};
  return kNames[static_cast<std::size_t>(reason)];
}

// What one step computes.
class EngineBatch {
 public:
  struct Part {
    EngineSequence* sequence;
    std::int64_t past, begin, end;  // positions cached before; rows of the batch
    std::string error = {};
  };
  // A row whose logits are needed.
  struct LogitRow {
    std::size_t part;
    std::int64_t row, position;
  };

  bool holds(const EngineSequence& s) const {
    return std::ranges::any_of(parts, [&](const Part& p) { return p.sequence == &s; });
  }

  void add(EngineSequence& s, std::int64_t count) {
    const std::int64_t past = s.cache->length();
    const auto begin = static_cast<std::int64_t>(tokens.size());
    for (std::int64_t i = past; i < past + count; ++i) {
      if (s.wants_logits(i)) logit_rows.push_back({parts.size(), begin + i - past, i});
    }
    const auto piece =
        s.text().subspan(static_cast<std::size_t>(past), static_cast<std::size_t>(count));
    tokens.insert(tokens.end(), piece.begin(), piece.end());
    segments.push_back(static_cast<std::int32_t>(tokens.size()));
    caches.push_back(&*s.cache);
    parts.push_back({&s, past, begin, begin + count});
  }

  Tensor gather_rows(const Tensor& hidden) const {
    const auto count = static_cast<std::int64_t>(logit_rows.size());
    const Tensor rows = Tensor::empty({count, hidden.dim(1)}, hidden.dtype());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = logit_rows[static_cast<std::size_t>(i)].row;
      rows.slice(i, i + 1).copy_from(hidden.slice(row, row + 1));
    }
    return rows;
  }

  // Draws and scores, the sequences side by side.
  void use_logits(const Tensor& logits) {
    parallel_for(std::ssize(parts), 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t p = first; p < last; ++p) {
        Part& part = parts[static_cast<std::size_t>(p)];
        try {
          use_logits_of(static_cast<std::size_t>(p), logits);
        } catch (const std::exception& e) {
          part.error = e.what();
        }
      }
    });
  }

  std::vector<Part> parts;
  std::vector<std::int32_t> tokens, segments = {0};
  std::vector<KvCache*> caches;
  std::vector<LogitRow> logit_rows;  // by part

 private:
  void use_logits_of(std::size_t part, const Tensor& logits) {
    EngineSequence& s = *parts[part].sequence;
    for (std::size_t i = 0; i < logit_rows.size(); ++i) {
      if (logit_rows[i].part != part) continue;
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t position = logit_rows[i].position;
      const auto row = logits.slice(at, at + 1).span<float>();
      if (position + 1 == s.length()) {
        s.draw(row);
      } else {
        s.score_prompt(position, row);
      }
    }
  }
};

Engine::Engine(const Transformer& model, Tokenizer tokenizer, DType compute, EngineOptions options)
    : model_(model), tokenizer_(std::move(tokenizer)), compute_(compute), options_(options) {
  const TransformerConfig& config = model.config();
  require<UsageError>(tokenizer_.vocab_size() <= config.vocab_size,
                      "the tokenizer has {} tokens, the model {} rows", tokenizer_.vocab_size(),
                      config.vocab_size);
  require<UsageError>(options.max_sequences > 0 && options.step_tokens > 0,
                      "an engine needs at least one sequence and one token per step");
  const std::int64_t context = context_of(config, options.context);
  pool_ = std::make_shared<KvPool>(config, pool_pages(config, compute, options, context), compute);
  context_ = std::min(context, pool_->pages() * ops::kKeyBlock);
  metrics_.pages = pool_->pages();
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  thread_.join();
}

std::shared_ptr<EngineJob> Engine::submit(EngineRequest request) {
  check(request, tokenizer_, context_);
  const auto job = std::make_shared<EngineJob>();
  job->request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= options_.max_queue || stopping_) {
      ++metrics_.refused;
      throw QueueFull(fmt::format("{} requests are waiting already", waiting_.size()));
    }
    waiting_.push(job->request.key, job);
    metrics_.waiting = static_cast<std::int64_t>(waiting_.size());
  }
  arrived_.notify_one();
  return job;
}

void Engine::cancel(EngineJob& job) {
  job.cancelled = true;
  {
    const std::lock_guard lock(mutex_);
    cancelling_ = true;
  }
  arrived_.notify_one();
}

EngineMetrics Engine::metrics() const {
  const std::lock_guard lock(mutex_);
  return metrics_;
}

void Engine::run() {
  while (wait_for_work()) {
    sweep_cancelled();
    admit();
    if (!running_.empty()) step();
    update_gauges();
  }
  for (const auto& s : running_) retire(*s, FinishReason::cancelled);
  while (const auto s = next_waiting()) retire(*s, FinishReason::cancelled);
}

bool Engine::wait_for_work() {
  std::unique_lock lock(mutex_);
  if (running_.empty() && ready_.empty()) {
    arrived_.wait(lock, [this] { return stopping_ || cancelling_ || !waiting_.empty(); });
  }
  return !stopping_;
}

void Engine::sweep_cancelled() {
  std::deque<std::shared_ptr<EngineJob>> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(cancelling_, false)) return;
    dropped = waiting_.extract([](const auto& job) { return job->cancelled.load(); });
  }
  for (const auto& job : dropped) {
    EngineSequence s(job, 0, tokenizer_);
    retire(s, FinishReason::cancelled);
  }
  for (auto* list : {&running_, &ready_}) {
    for (const auto& s : *list) {
      if (s->job().cancelled) retire(*s, FinishReason::cancelled);
    }
    std::erase_if(*list, [](const auto& s) { return s->job().cancelled.load(); });
  }
}

std::unique_ptr<EngineSequence> Engine::next_waiting() {
  if (!ready_.empty()) {
    auto s = std::move(ready_.back());
    ready_.pop_back();
    return s;
  }
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) return nullptr;
  return std::make_unique<EngineSequence>(waiting_.pop(), 0, tokenizer_);
}

void Engine::admit() {
  while (running_.size() < options_.max_sequences) {
    auto s = next_waiting();
    if (!s) return;
    if (!s->admitted_before()) s->admitted = EngineClock::now();
    reuse_prefix(*s);
    running_.push_back(std::move(s));
  }
}

// The longest known beginning of the text, of this key's running and finished texts.
void Engine::reuse_prefix(EngineSequence& s) {
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
  const std::lock_guard lock(mutex_);
  if (!s.admitted_before()) {
    s.count_reused(length);
    metrics_.prompt_tokens += s.prompt_length();
    metrics_.reused_tokens += length;
    metrics_.queue_seconds.observe(seconds_between(s.job().submitted, s.admitted));
  }
}

// Pages for `tokens` more, if need be by forgetting finished texts, then by sending the youngest
// of the others back to wait. False: not in this step.
bool Engine::make_room(EngineSequence& s, std::int64_t tokens, const EngineBatch& batch) {
  while (s.cache->pages_for(tokens) > pool_->free_pages()) {
    if (!finished_.empty()) {
      finished_.erase(finished_.begin());
      continue;
    }
    const auto victim = std::find_if(running_.rbegin(), running_.rend(), [&](const auto& other) {
      return other.get() != &s && other->cache && !batch.holds(*other);
    });
    if (victim == running_.rend()) return false;
    (*victim)->cache.reset();
    const std::lock_guard lock(mutex_);
    ++metrics_.preemptions;
  }
  s.cache->reserve(tokens);
  return true;
}

void Engine::fill(EngineBatch& batch) {
  for (const auto& s : running_) {
    if (s->cache && s->decoding() && make_room(*s, 1, batch)) batch.add(*s, 1);
  }
  std::int64_t reading =
      std::ranges::count_if(running_, [](const auto& s) { return s->cache && !s->decoding(); });
  std::int64_t budget = std::max<std::int64_t>(
      1, options_.step_tokens - static_cast<std::int64_t>(batch.tokens.size()));
  for (const auto& s : running_) {
    if (!s->cache || s->decoding() || budget == 0) continue;
    // Prompts share the budget evenly, so a short one is soon through.
    const std::int64_t share =
        std::max<std::int64_t>(1, budget / std::max<std::int64_t>(1, reading));
    --reading;
    const std::int64_t count = std::min(share, s->fresh());
    if (!make_room(*s, count, batch)) continue;
    batch.add(*s, count);
    budget -= count;
  }
}

void Engine::step() {
  EngineBatch batch;
  fill(batch);
  // Those who lost their pages wait; the oldest goes first again.
  for (auto s = running_.rbegin(); s != running_.rend(); ++s) {
    if (!(*s)->cache) ready_.push_back(std::move(*s));
  }
  std::erase(running_, nullptr);
  const auto start = EngineClock::now();
  try {
    Graph graph({.compute = compute_});
    const Tensor hidden = model_.hidden(graph, batch.tokens, batch.segments, batch.caches).value();
    for (const auto& part : batch.parts) {
      part.sequence->saw(part.past, hidden.slice(part.begin, part.end));
    }
    if (!batch.logit_rows.empty()) {
      batch.use_logits(model_.logits(graph, batch.gather_rows(hidden)));
    }
  } catch (const std::exception& e) {
    for (auto& part : batch.parts) part.error = e.what();
  }
  {
    const double seconds = seconds_between(start, EngineClock::now());
    const std::lock_guard lock(mutex_);
    ++metrics_.steps;
    metrics_.step_tokens += std::ssize(batch.tokens);
    for (const auto& part : batch.parts) {
      const double share = seconds * static_cast<double>(part.end - part.begin) /
                           static_cast<double>(batch.tokens.size());
      (part.sequence->drawn() > 0 ? metrics_.decode_seconds : metrics_.prompt_seconds) += share;
    }
  }
  finish_step(batch);
}

void Engine::finish_step(EngineBatch& batch) {
  for (auto& part : batch.parts) {
    EngineSequence& s = *part.sequence;
    if (!part.error.empty()) {
      retire(s, FinishReason::error, std::move(part.error));
      s.cache.reset();
      continue;
    }
    const std::int64_t drawn = s.drawn();
    if (s.fresh() == 0) spawn_choices(s);
    const FinishReason reason = s.advance();
    if (s.drawn() > drawn) {
      const auto now = EngineClock::now();
      const std::lock_guard lock(mutex_);
      ++metrics_.generated_tokens;
      if (drawn == 0) {
        s.first_token = now;
        metrics_.first_token_seconds.observe(seconds_between(s.job().submitted, now));
        metrics_.prefill_seconds.observe(seconds_between(s.admitted, now));
      } else {
        metrics_.token_seconds.observe(seconds_between(s.last_token, now));
      }
      s.last_token = now;
    }
    if (reason == FinishReason::none) continue;
    retire(s, reason);
    if (options_.reuse) {
      finished_.push_back(
          std::make_unique<Finished>(Finished{s.request().key, std::move(*s.cache)}));
      if (finished_.size() > kMaxFinished) finished_.erase(finished_.begin());
    }
    s.cache.reset();
  }
  std::erase_if(running_, [](const auto& s) { return !s->cache; });
}

// The other choices begin when the prompt is known, and share its pages.
void Engine::spawn_choices(EngineSequence& first) {
  if (std::exchange(first.shared_job()->spawned, true)) return;
  for (std::size_t i = first.request().choices; i-- > 1;) {
    ready_.push_back(std::make_unique<EngineSequence>(first.shared_job(), i, tokenizer_));
  }
}

void Engine::retire(EngineSequence& s, FinishReason reason, std::string error) {
  // When the first choice ends before the others exist, it speaks for them.
  const bool alone = !std::exchange(s.shared_job()->spawned, true);
  const auto now = EngineClock::now();
  {
    const std::lock_guard lock(mutex_);
    ++metrics_.finished[static_cast<std::size_t>(reason)];
    metrics_.request_seconds.observe(seconds_between(s.job().submitted, now));
    if (s.drawn() > 0) {
      metrics_.decode_time_seconds.observe(seconds_between(s.first_token, now));
    }
  }
  if (alone) {
    for (std::size_t i = 1; i < s.request().choices; ++i) {
      EngineSequence(s.shared_job(), i, tokenizer_).finish(reason, error);
    }
  }
  s.finish(reason, std::move(error));
}

void Engine::update_gauges() {
  std::int64_t in_use = 0;
  for (const auto& s : running_) in_use += s->cache->pages();
  const std::lock_guard lock(mutex_);
  const std::int64_t taken = pool_->pages() - pool_->free_pages();
  metrics_.running = std::ssize(running_);
  metrics_.waiting = static_cast<std::int64_t>(waiting_.size() + ready_.size());
  metrics_.pages_used = std::min(taken, in_use);
  metrics_.pages_cached = taken - metrics_.pages_used;
}

}  // namespace stepstone
