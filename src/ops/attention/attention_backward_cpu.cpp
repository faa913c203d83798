#include <vector>

#include "core/tensor.h"
#include "core/threads.h"
#include "ops/attention/attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention/attention_backward_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "ops/attention/block-inl.h"
#include "ops/attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

using cpu::AttentionBackward;
using cpu::AttentionForward;
using cpu::AttentionSequence;
using ops::AttentionConfig;
using ops::KeyRange;

// Query rows that one block of keys meets at a time, aligned to the document's start.
inline constexpr std::int64_t kQueryTile = 64;

// All gradients of one document through one key head. Key blocks outside, query tiles inside, both
// rising: every sum has one order. Query row r is query r / group of the group's head r % group.
template <typename T>
class HeadGradient {
 public:
  HeadGradient(const AttentionBackward& args, const AttentionSequence& sequence,
               std::int64_t kv_head)
      : args_(args),
        forward_(args.forward),
        config_(args.forward.config),
        sequence_(sequence),
        scale_(config_),
        kv_head_(kv_head),
        group_(config_.heads / config_.kv_heads),
        d_(config_.head_dim),
        padded_(ops::padded_head(d_)),
        rows_(sequence.rows * group_),
        scratch_(Tensor::empty({rows_ * (3 * padded_ + 2) + kKeyBlock * (2 * d_ + 3 * padded_) +
                                2 * kQueryTile * kKeyBlock},
                               DType::f32)) {
    float* at = scratch_.data<float>();
    const auto take = [&at](std::int64_t n) { return std::exchange(at, at + n); };
    q_ = take(rows_ * padded_);
    dy_ = take(rows_ * padded_);
    dq_ = take(rows_ * padded_);
    k_ = take(kKeyBlock * padded_);
    dk_ = take(kKeyBlock * padded_);
    dv_ = take(kKeyBlock * padded_);
    k_turned_ = take(kKeyBlock * d_);
    v_turned_ = take(kKeyBlock * d_);
    p_ = take(kQueryTile * kKeyBlock);
    ds_ = take(kQueryTile * kKeyBlock);
    lse_ = take(rows_);
    delta_ = take(rows_);
    std::fill_n(dq_, rows_ * padded_, 0.0f);
    if (forward_.y_dtype == DType::bf16) {
      load_rows<bf16>();
    } else {
      load_rows<float>();
    }
  }

  void run() {
    for (std::int64_t first = 0; first < sequence_.rows; first += kKeyBlock) {
      const std::int64_t keys = std::min(kKeyBlock, sequence_.rows - first);
      const std::int64_t at = first * forward_.kv_stride + kv_head_ * d_;
      const T* k = static_cast<const T*>(sequence_.k) + at;
      const T* v = static_cast<const T*>(sequence_.v) + at;
      pack_transposed(keys, d_, k, forward_.kv_stride, k_turned_);
      pack_transposed(keys, d_, v, forward_.kv_stride, v_turned_);
      pack_rows(keys, d_, padded_, k, forward_.kv_stride, k_);
      std::fill_n(dk_, kKeyBlock * padded_, 0.0f);
      std::fill_n(dv_, kKeyBlock * padded_, 0.0f);
      for (std::int64_t r = 0; r < rows_; r += kQueryTile) {
        add_tile(r, std::min(kQueryTile, rows_ - r), first);
      }
      for (std::int64_t j = 0; j < keys; ++j) {
        const std::int64_t row = sequence_.row + first + j;
        write(row, config_.heads + kv_head_, dk_ + j * padded_, config_.scale);
        write(row, config_.heads + config_.kv_heads + kv_head_, dv_ + j * padded_, 1);
      }
    }
    for (std::int64_t r = 0; r < rows_; ++r) {
      write(query(r), head(r), dq_ + r * padded_, config_.scale);
    }
  }

 private:
  std::int64_t position(std::int64_t r) const { return group_ == 1 ? r : r / group_; }
  std::int64_t query(std::int64_t r) const { return sequence_.row + position(r); }
  std::int64_t head(std::int64_t r) const { return kv_head_ * group_ + r - position(r) * group_; }
  KeyRange keys_of(std::int64_t begin, std::int64_t end) const {
    return {ops::visible_keys(config_, position(begin), sequence_.rows).begin,
            ops::visible_keys(config_, position(end - 1), sequence_.rows).end};
  }

  const T* q_row(std::int64_t r) const {
    return static_cast<const T*>(forward_.q) + query(r) * forward_.q_stride + head(r) * d_;
  }
  template <typename Y>
  const Y* y_row(const void* y, std::int64_t r) const {
    return static_cast<const Y*>(y) + query(r) * forward_.y_stride + head(r) * d_;
  }

  template <typename Y>
  void load_rows() {
    for (std::int64_t r = 0; r < rows_; ++r) {
      const Y* dy = y_row<Y>(args_.dy, r);
      pack_rows(1, d_, padded_, q_row(r), 0, q_ + r * padded_);
      pack_rows(1, d_, padded_, dy, 0, dy_ + r * padded_);
      delta_[r] = map_sum(
          d_, [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Mul(a, b); }, y_row<Y>(forward_.y, r),
          dy);
      lse_[r] = forward_.lse[query(r) * config_.heads + head(r)];
    }
  }

  // Query rows [r, r + n) against the block of keys that begins at `first`.
  void add_tile(std::int64_t r, std::int64_t n, std::int64_t first) {
    const KeyRange keys = keys_of(r, r + n);
    if (keys.end <= first || keys.begin >= first + kKeyBlock) return;
    const std::int64_t end = std::min(kKeyBlock, keys.end - first);
    for (std::int64_t i = 0; i < n; i += kTileRows) {
      add_rows(r + i, std::min<std::int64_t>(kTileRows, n - i), first, whole_vectors(end),
               p_ + i * kKeyBlock, ds_ + i * kKeyBlock);
    }
    for (std::int64_t j = 0; j < end; j += kTileRows) {
      const std::int64_t width = std::min<std::int64_t>(kTileRows, end - j);
      // Rows before key first + j do not see these keys.
      const std::int64_t skip =
          config_.causal ? std::clamp<std::int64_t>((first + j) * group_ - r, 0, n) : 0;
      const std::int64_t at = skip * kKeyBlock + j;
      const std::int64_t from = (r + skip) * padded_;
      rows_product(width, padded_, n - skip, {ds_ + at, 1, kKeyBlock}, q_ + from, padded_,
                   dk_ + j * padded_, padded_, {.keep = true});
      rows_product(width, padded_, n - skip, {p_ + at, 1, kKeyBlock}, dy_ + from, padded_,
                   dv_ + j * padded_, padded_, {.keep = true});
    }
  }

  // Probabilities p and score gradients ds of query rows [r, r + n) for the first `tile_cols` keys
  // of the block, and their part of dq.
  void add_rows(std::int64_t r, std::int64_t n, std::int64_t first, std::int64_t tile_cols,
                float* p, float* ds) {
    const KeyRange keys = keys_of(r, r + n);
    const std::int64_t begin = std::clamp<std::int64_t>(keys.begin - first, 0, kKeyBlock);
    const std::int64_t end = std::clamp<std::int64_t>(keys.end - first, begin, kKeyBlock);
    const std::int64_t cols = begin == end ? 0 : whole_vectors(end);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = i * kKeyBlock + cols; j < i * kKeyBlock + tile_cols; j += lanes()) {
        store(hn::Zero(kF32), p + j);
        store(hn::Zero(kF32), ds + j);
      }
    }
    if (begin == end) return;
    rows_product(n, cols, d_, {q_ + r * padded_, padded_, 1}, k_turned_, kKeyBlock, p, kKeyBlock);
    rows_product(n, cols, d_, {dy_ + r * padded_, padded_, 1}, v_turned_, kKeyBlock, ds, kKeyBlock);
    for (std::int64_t i = 0; i < n; ++i) {
      score_gradient(r + i, first, cols, p + i * kKeyBlock, ds + i * kKeyBlock);
    }
    rows_product(n, padded_, end - begin, {ds + begin, kKeyBlock, 1}, k_ + begin * padded_, padded_,
                 dq_ + r * padded_, padded_, {.keep = true});
  }

  // p: scores to probabilities; ds: gradients of probabilities to gradients of scores.
  void score_gradient(std::int64_t r, std::int64_t first, std::int64_t cols, float* p,
                      float* ds) const {
    const auto one = hn::Set(kF32, 1.0f);
    const auto inner = hn::Set(kF32, scale_.inner);
    const auto factor = hn::Set(kF32, scale_.factor);
    const auto minus_lse = hn::Set(kF32, -lse_[r]);
    const auto delta = hn::Set(kF32, delta_[r]);
    if (scale_.capped) {
      for (std::int64_t j = 0; j < cols; j += lanes()) {
        const auto t = tanh(hn::Mul(load(p + j), inner));
        const auto slope = hn::NegMulAdd(t, t, one);
        store(t, p + j);
        store(hn::Mul(slope, hn::Sub(load(ds + j), delta)), ds + j);
      }
    } else {
      for (std::int64_t j = 0; j < cols; j += lanes()) {
        store(hn::Sub(load(ds + j), delta), ds + j);
      }
    }
    const KeyRange seen = ops::visible_keys(config_, position(r), sequence_.rows);
    if (seen.begin > first || seen.end < first + cols) {
      mask_row(p, cols, seen.begin - first, seen.end - first);
    }
    for (std::int64_t j = 0; j < cols; j += lanes()) {
      const auto e = exp2(hn::MulAdd(load(p + j), factor, minus_lse));
      store(e, p + j);
      store(hn::Mul(e, load(ds + j)), ds + j);
    }
  }

  void write(std::int64_t row, std::int64_t head, const float* gradient, float scale) const {
    T* out = static_cast<T*>(args_.dqkv) + row * forward_.q_stride + head * d_;
    const auto s = hn::Set(kF32, scale);
    if (args_.accumulate) {
      map(
          d_, [=](VecF32 g, VecF32 old) HWY_ATTR { return hn::MulAdd(g, s, old); }, out, gradient,
          static_cast<const T*>(out));
    } else {
      map(
          d_, [=](VecF32 g) HWY_ATTR { return hn::Mul(g, s); }, out, gradient);
    }
  }

  const AttentionBackward& args_;
  const AttentionForward& forward_;
  const AttentionConfig& config_;
  const AttentionSequence& sequence_;
  const ScoreScale scale_;
  const std::int64_t kv_head_, group_, d_, padded_, rows_;
  const Tensor scratch_;
  float *q_, *dy_, *dq_, *k_, *dk_, *dv_, *k_turned_, *v_turned_, *p_, *ds_, *lse_, *delta_;
};

void AttentionBackwardCpu(const AttentionBackward& args) {
  const std::int64_t heads = args.forward.config.kv_heads;
  const auto tasks = std::ssize(args.forward.sequences) * heads;
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto& sequence = args.forward.sequences[static_cast<std::size_t>(i / heads)];
      if (sequence.rows == 0) continue;
      if (args.forward.dtype == DType::bf16) {
        HeadGradient<bf16>(args, sequence, i % heads).run();
      } else {
        HeadGradient<float>(args, sequence, i % heads).run();
      }
    }
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(AttentionBackwardCpu);

void attention_backward(const AttentionBackward& args) {
  HWY_DYNAMIC_DISPATCH(AttentionBackwardCpu)(args);
}

}  // namespace stepstone::cpu
#endif
