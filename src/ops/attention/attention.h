// Softmax attention with grouped heads over packed documents, without the T x T matrix
// (Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135).
//
//   s_ij = scale q_i . k_j             softcap > 0: s = softcap tanh(s / softcap)
//   p_ij = exp(s_ij - lse_i)           lse_i = log sum_j exp(s_ij) over the visible keys
//   y_i  = sum_j p_ij v_j
//
// qkv [T, (heads + 2 kv_heads) head_dim], f32 or bf16: query heads, key heads, value heads.
// segments: [0, ..., T], where each document starts; no attention between documents.
// y [T, heads head_dim] in the graph's compute dtype. All arithmetic is f32. Saves qkv, y and lse.
//
// A row of y is the same bits whatever else is in the batch, whichever way its prompt was cut and
// for any number of threads: its keys are walked in blocks fixed by its own document.
#pragma once

#include <cstdint>
#include <span>

#include "ops/attention/attention_config.h"
#include "ops/attention/kv_cache.h"
#include "ops/op.h"

namespace stepstone::ops {

Var attention(Graph& graph, const Var& qkv, std::span<const std::int32_t> segments,
              const AttentionConfig& config);

// One sequence of a batch at inference: rows [segments[i], segments[i + 1]) of qkv_new are its
// positions past, past + 1, ...
// With pages, positions 64 i to 64 i + 63 (64 = kKeyBlock) are block pages[i] of the cache, which
// other sequences may share; without, block i.
struct CachedSequence {
  KvCacheLayer* cache;
  std::int64_t past;
  std::span<const std::int32_t> pages = {};
};

// The same rows of y as attention() gives for the whole documents, from their new rows alone, where
// the caches keep what they are given; else with all keys and values as a cache rounds them.
// qkv_new is rotated already; its keys and values are first stored in each cache. Causal only.
// Throws UsageError when a cache is too small or of another shape than qkv_new, or the caches'
// types differ.
Tensor attention_cached(Graph& graph, const Tensor& qkv_new, std::span<const std::int32_t> segments,
                        std::span<const CachedSequence> sequences, const AttentionConfig& config);
Tensor attention_cached(Graph& graph, const Tensor& qkv_new, KvCacheLayer& cache, std::int64_t past,
                        const AttentionConfig& config);

}  // namespace stepstone::ops
