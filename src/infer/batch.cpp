#include "infer/batch.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "infer/sampler.h"
#include "infer/stop_filter.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

// One prompt on its way.
struct Slot {
  std::size_t index;  // of the prompt
  KvCache cache;
  StreamDecoder decoder;
  StopFilter filter;
  std::vector<std::int32_t> fresh;  // tokens that the model has not seen yet
  std::int64_t made = 0;
};

class Batch {
 public:
  Batch(const Transformer& model, const Tokenizer& tokenizer, DType compute,
        std::span<const std::vector<std::int32_t>> prompts, const BatchOptions& options)
      : model_(model),
        tokenizer_(tokenizer),
        compute_(compute),
        prompts_(prompts),
        options_(options),
        sampler_(greedy()),
        texts_(prompts.size()) {}

  std::vector<std::string> run() {
    for (;;) {
      admit();
      if (slots_.empty()) return std::move(texts_);
      step();
    }
  }

 private:
  std::int64_t context() const { return model_.config().max_positions; }

  void admit() {
    while (next_ < prompts_.size() && slots_.size() < std::max<std::size_t>(1, options_.width)) {
      const std::size_t index = next_++;
      const auto length = static_cast<std::int64_t>(prompts_[index].size());
      if (length == 0 || length > context()) continue;
      const std::int64_t capacity = std::min(context(), length + options_.max_tokens);
      slots_.push_back(std::make_unique<Slot>(
          Slot{index, KvCache(model_.config(), capacity, compute_), StreamDecoder(tokenizer_, true),
               StopFilter(options_.stop_strings), prompts_[index], 0}));
    }
  }

  // One more token for every slot.
  void step() {
    std::vector<std::int32_t> tokens, segments = {0};
    std::vector<KvCache*> caches;
    for (const auto& slot : slots_) {
      tokens.insert(tokens.end(), slot->fresh.begin(), slot->fresh.end());
      segments.push_back(static_cast<std::int32_t>(tokens.size()));
      caches.push_back(&slot->cache);
    }
    Graph graph({.compute = compute_});
    const Tensor hidden = model_.hidden(graph, tokens, segments, caches).value();
    const Tensor logits = model_.logits(graph, last_rows(hidden, segments));
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const auto row = logits.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1);
      if (!append(*slots_[i], row)) finish(*slots_[i]);
    }
    std::erase_if(slots_, [](const auto& slot) { return slot->fresh.empty(); });
    if (options_.progress) options_.progress(next_ - slots_.size());
  }

  static Tensor last_rows(const Tensor& hidden, std::span<const std::int32_t> segments) {
    const auto count = static_cast<std::int64_t>(segments.size()) - 1;
    const Tensor rows = Tensor::empty({count, hidden.dim(1)}, hidden.dtype());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t end = segments[static_cast<std::size_t>(i) + 1];
      rows.slice(i, i + 1).copy_from(hidden.slice(end - 1, end));
    }
    return rows;
  }

  // False when the text ends here.
  bool append(Slot& slot, const Tensor& logits) {
    if (slot.made == options_.max_tokens) return false;
    const auto vocab = static_cast<std::size_t>(tokenizer_.vocab_size());
    const std::int32_t token = sampler_.sample(logits.span<float>().first(vocab), {}, 0);
    ++slot.made;
    if (std::ranges::find(options_.stop_tokens, token) != options_.stop_tokens.end()) return false;
    texts_[slot.index] += slot.filter.push(to_utf8_lossy(slot.decoder.push(token)));
    slot.fresh = {token};
    return !slot.filter.stopped() && slot.made < options_.max_tokens &&
           slot.cache.length() < slot.cache.capacity();
  }

  void finish(Slot& slot) {
    if (!slot.filter.stopped()) {
      texts_[slot.index] += slot.filter.push(to_utf8_lossy(slot.decoder.flush()));
      texts_[slot.index] += slot.filter.flush();
    }
    slot.fresh.clear();
  }

  const Transformer& model_;
  const Tokenizer& tokenizer_;
  DType compute_;
  std::span<const std::vector<std::int32_t>> prompts_;
  const BatchOptions& options_;
  TokenSampler sampler_;
  std::vector<std::string> texts_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::size_t next_ = 0;
};

}  // namespace

std::vector<std::string> greedy_texts(const Transformer& model, const Tokenizer& tokenizer,
                                      DType compute,
                                      std::span<const std::vector<std::int32_t>> prompts,
                                      const BatchOptions& options) {
  return Batch(model, tokenizer, compute, prompts, options).run();
}

}  // namespace stepstone
