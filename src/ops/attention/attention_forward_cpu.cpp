#include <cmath>
#include <vector>

#include "core/tensor.h"
#include "core/threads.h"
#include "ops/attention/attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention/attention_forward_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/attention/block-inl.h"
#include "ops/attention/cache_block-inl.h"
#include "ops/attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

using cpu::AttentionForward;
using cpu::AttentionSequence;
using ops::AttentionConfig;
using ops::KeyRange;

// Below any score that a model can mean, and finite: a row that has seen no key yet keeps its
// state under a block it does not see (exp2(kNoScore - kNoScore) = 1).
inline constexpr float kNoScore = -1e30f;

// The query rows of one key head: row r is query r / group of head kv_head * group + r % group.
struct QueryRows {
  const AttentionSequence* sequence;
  std::int64_t kv_head, begin, end;
};

// Running softmax of a set of query rows over blocks of keys.
class RunningAttention {
 public:
  RunningAttention(const AttentionForward& args, const QueryRows& task)
      : args_(args),
        config_(args.config),
        task_(task),
        scale_(args.config),
        group_(config_.heads / config_.kv_heads),
        d_(config_.head_dim),
        padded_(ops::padded_head(d_)),
        rows_(task.end - task.begin),
        length_(task.sequence->past + task.sequence->rows),
        scratch_(Tensor::empty({rows_ * (d_ + padded_ + lanes() + 1) + kKeyBlock * (d_ + padded_)},
                               DType::f32)) {
    float* at = scratch_.data<float>();
    const auto take = [&at](std::int64_t n) { return std::exchange(at, at + n); };
    q_ = take(rows_ * d_);
    out_ = take(rows_ * padded_);
    sum_ = take(rows_ * lanes());
    max_ = take(rows_);
    k_ = take(kKeyBlock * d_);
    v_ = take(kKeyBlock * padded_);
    std::fill_n(out_, rows_ * padded_, 0.0f);
    std::fill_n(sum_, rows_ * lanes(), 0.0f);
    std::fill_n(max_, rows_, kNoScore);
    for (std::int64_t r = 0; r < rows_; ++r) {
      with_rows(args_.q, query(r) * args_.q_stride + head(r) * d_,
                [&](const auto* from) HWY_ATTR { pack_rows(1, d_, d_, from, 0, q_ + r * d_); });
    }
  }

  void run() {
    const KeyRange all = keys_of(0, rows_);
    for (std::int64_t first = all.begin / kKeyBlock * kKeyBlock; first < all.end;
         first += kKeyBlock) {
      const std::int64_t keys = std::min(kKeyBlock, all.end - first);
      if (!args_.blocked) {
        add_keys(first, pack(first, keys));
      } else if (rows_ <= kTileRows) {
        add_keys(first, cached(first));
      } else {
        add_keys(first, widen(cached(first), keys));
      }
    }
    if (args_.y_dtype == DType::bf16) {
      finish(static_cast<bf16*>(args_.y));
    } else {
      finish(static_cast<float*>(args_.y));
    }
  }

 private:
  struct Block {
    Side k;  // [head_dim, kKeyBlock]
    Side v;  // [kKeyBlock, padded]
  };

  // Row r counts from the task's begin.
  std::int64_t index(std::int64_t r) const {
    return group_ == 1 ? task_.begin + r : (task_.begin + r) / group_;
  }
  std::int64_t query(std::int64_t r) const { return task_.sequence->row + index(r); }
  std::int64_t position(std::int64_t r) const { return task_.sequence->past + index(r); }
  std::int64_t head(std::int64_t r) const {
    return task_.kv_head * group_ + task_.begin + r - index(r) * group_;
  }
  // All keys that any of the rows [begin, end) sees.
  KeyRange keys_of(std::int64_t begin, std::int64_t end) const {
    return {ops::visible_keys(config_, position(begin), length_).begin,
            ops::visible_keys(config_, position(end - 1), length_).end};
  }

  // fn(element `at` and on of q, k or v, in rows).
  template <typename Fn>
  void with_rows(const void* data, std::int64_t at, Fn&& fn) const {
    if (args_.dtype == DType::bf16) return fn(static_cast<const bf16*>(data) + at);
    fn(static_cast<const float*>(data) + at);
  }

  Block packed() const { return {{BlockType::f32, k_}, {BlockType::f32, v_}}; }
  Block pack(std::int64_t first, std::int64_t keys) const {
    const std::int64_t at = first * args_.kv_stride + task_.kv_head * d_;
    with_rows(task_.sequence->k, at,
              [&](const auto* k) HWY_ATTR { pack_transposed(keys, d_, k, args_.kv_stride, k_); });
    with_rows(task_.sequence->v, at, [&](const auto* v) HWY_ATTR {
      pack_rows(keys, d_, padded_, v, args_.kv_stride, v_);
    });
    return packed();
  }
  Block cached(std::int64_t first) const {
    const std::int64_t page = first / kKeyBlock;
    const std::int32_t* pages = task_.sequence->pages;
    const std::int64_t block = (pages ? pages[page] : page) * config_.kv_heads + task_.kv_head;
    const auto side = [block](const void* data, const cpu::CachedSide& kept) {
      return Side{kept.type, static_cast<const std::byte*>(data) + block * kept.block_bytes};
    };
    return {side(task_.sequence->k, args_.keys), side(task_.sequence->v, args_.values)};
  }
  Block widen(const Block& block, std::int64_t keys) const {
    Block wide = packed();
    if (block.k.type == BlockType::f32) {
      wide.k = block.k;
    } else {
      with_keys(block.k, d_, [&](const auto& k) HWY_ATTR { unpack_rows(d_, kKeyBlock, k, k_); });
    }
    if (block.v.type == BlockType::f32) {
      wide.v = block.v;
    } else {
      with_values(block.v, d_, 0,
                  [&](const auto& v) HWY_ATTR { unpack_rows(keys, padded_, v, v_); });
    }
    return wide;
  }

  void add_keys(std::int64_t first, const Block& block) {
    for (std::int64_t r = 0; r < rows_; r += kTileRows) {
      add_block(r, std::min<std::int64_t>(kTileRows, rows_ - r), first, block);
    }
  }

  // Rows [r, r + n) take in the block of keys that begins at `first`.
  void add_block(std::int64_t r, std::int64_t n, std::int64_t first, const Block& block) {
    const KeyRange keys = keys_of(r, r + n);
    const std::int64_t begin = std::max<std::int64_t>(0, keys.begin - first);
    const std::int64_t end = std::min(kKeyBlock, keys.end - first);
    if (begin >= end) return;
    const std::int64_t cols = whole_vectors(end);
    HWY_ALIGN float p[kTileRows * kKeyBlock];
    HWY_ALIGN float rescale[16] = {};
    with_keys(block.k, d_, [&](const auto& k) HWY_ATTR {
      rows_product(n, cols, d_, {q_ + r * d_, d_, 1}, k, p, kKeyBlock);
    });
    if (scale_.capped) cap_scores(n, cols, p);
    mask(r, n, first, cols, p);
    softmax(r, n, cols, p, rescale);
    with_values(block.v, d_, begin, [&](const auto& v) HWY_ATTR {
      rows_product(n, padded_, end - begin, {p + begin, kKeyBlock, 1}, v, out_ + r * padded_,
                   padded_, {.keep = true, .scale = rescale});
    });
  }

  void cap_scores(std::int64_t n, std::int64_t cols, float* p) const {
    const auto inner = hn::Set(kF32, scale_.inner);
    for (std::int64_t i = 0; i < n; ++i) {
      float* row = p + i * kKeyBlock;
      for (std::int64_t j = 0; j < cols; j += lanes()) {
        store(tanh(hn::Mul(load(row + j), inner)), row + j);
      }
    }
  }

  void mask(std::int64_t r, std::int64_t n, std::int64_t first, std::int64_t cols, float* p) const {
    for (std::int64_t i = 0; i < n; ++i) {
      const KeyRange seen = ops::visible_keys(config_, position(r + i), length_);
      if (seen.begin > first || seen.end < first + cols) {
        mask_row(p + i * kKeyBlock, cols, seen.begin - first, seen.end - first);
      }
    }
  }

  // Scores to probabilities relative to the rows' new maxima; rescale[i] is what the old sums
  // count for now.
  void softmax(std::int64_t r, std::int64_t n, std::int64_t cols, float* p, float* rescale) {
    const auto factor = hn::Set(kF32, scale_.factor);
    for (std::int64_t i = 0; i < n; ++i) {
      auto top = load(p + i * kKeyBlock);
      for (std::int64_t j = lanes(); j < cols; j += lanes()) {
        top = hn::Max(top, load(p + i * kKeyBlock + j));
      }
      const float old = max_[r + i];
      max_[r + i] = std::max(old, hn::GetLane(hn::MaxOfLanes(kF32, top)) * scale_.factor);
      rescale[i] = old - max_[r + i];
    }
    for (std::int64_t i = 0; i < n; i += lanes()) store(exp2(load(rescale + i)), rescale + i);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto minus_max = hn::Set(kF32, -max_[r + i]);
      auto total = hn::Zero(kF32);
      for (std::int64_t j = 0; j < cols; j += lanes()) {
        float* at = p + i * kKeyBlock + j;
        const auto e = exp2(hn::MulAdd(load(at), factor, minus_max));
        store(e, at);
        total = hn::Add(total, e);
      }
      float* sum = sum_ + (r + i) * lanes();
      store(hn::MulAdd(load(sum), hn::Set(kF32, rescale[i]), total), sum);
    }
  }

  template <typename Y>
  void finish(Y* y) const {
    for (std::int64_t r = 0; r < rows_; ++r) {
      const float total = hn::GetLane(hn::SumOfLanes(kF32, load(sum_ + r * lanes())));
      const auto inverse = hn::Set(kF32, 1 / total);
      map(
          d_, [=](VecF32 x) HWY_ATTR { return hn::Mul(x, inverse); },
          y + query(r) * args_.y_stride + head(r) * d_,
          static_cast<const float*>(out_ + r * padded_));
      if (args_.lse) args_.lse[query(r) * config_.heads + head(r)] = max_[r] + std::log2(total);
    }
  }

  const AttentionForward& args_;
  const AttentionConfig& config_;
  const QueryRows task_;
  const ScoreScale scale_;
  const std::int64_t group_, d_, padded_, rows_, length_;
  const Tensor scratch_;
  float *q_, *out_, *sum_, *max_, *k_, *v_;
};

// Enough rows to pay for packing a block of keys; fewer where the threads would run dry. A row's
// result does not depend on the rows around it, so the cut is free.
static std::vector<QueryRows> cut(const AttentionForward& args) {
  constexpr std::int64_t kRows = 256, kFewRows = 96;
  const std::int64_t group = args.config.heads / args.config.kv_heads;
  const auto cut_by = [&](std::int64_t most) {
    std::vector<QueryRows> tasks;
    for (const AttentionSequence& s : args.sequences) {
      const std::int64_t rows = s.rows * group;
      if (rows == 0) continue;
      const std::int64_t pieces = (rows + most - 1) / most;
      const std::int64_t even = (rows + pieces - 1) / pieces;
      const std::int64_t size = (even + kTileRows - 1) / kTileRows * kTileRows;
      for (std::int64_t h = 0; h < args.config.kv_heads; ++h) {
        for (std::int64_t r = 0; r < rows; r += size) {
          tasks.push_back({&s, h, r, std::min(rows, r + size)});
        }
      }
    }
    return tasks;
  };
  auto tasks = cut_by(kRows);
  return std::ssize(tasks) >= 4 * num_threads() ? tasks : cut_by(kFewRows);
}

void AttentionForwardCpu(const AttentionForward& args) {
  const auto tasks = cut(args);
  parallel_for(std::ssize(tasks), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      // The last rows of a document see the most keys: first, so that no thread ends with them.
      RunningAttention(args, tasks[tasks.size() - 1 - static_cast<std::size_t>(i)]).run();
    }
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(AttentionForwardCpu);

void attention_forward(const AttentionForward& args) {
  HWY_DYNAMIC_DISPATCH(AttentionForwardCpu)(args);
}

}  // namespace stepstone::cpu
#endif
