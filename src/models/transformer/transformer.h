// A decoder-only transformer: token ids in, hidden states, loss or logits out.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/transformer/config.h"
#include "models/transformer/kv_cache.h"
#include "nn/layers.h"
#include "ops/attention/attention.h"
#include "ops/embedding/embedding.h"
#include "ops/head_loss/head_loss.h"

namespace stepstone {

struct TensorNames;

// One flat stream of tokens cut into independent documents (or rows): document s is
// tokens[segments[s] .. segments[s+1]), segments begin with 0 and end with the token count.
// Positions restart in each document.
struct TokenBatch {
  std::span<const std::int32_t> tokens;
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> segments;
};

struct InitOptions {
  std::uint64_t seed = 0;
  float embedding_std = 0.02f;
  // Standard deviation of matrices is matrix_gain / sqrt(in); 0: 0.02 everywhere as in GPT-2,
  // with residual projections scaled by 1/sqrt(2 layers).
  float matrix_gain = 0;
  float residual_gain =
      0;                // with matrix_gain > 0: gain of residual projections; 0 starts them at 0
  float head_gain = 1;  // the same of an untied head
};

class Transformer {
 public:
  // Of a batch; none: all.
  using Rows = std::optional<std::span<const std::int64_t>>;

  explicit Transformer(TransformerConfig config, nn::Values values = nn::Values::zeros);
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  const TransformerConfig& config() const { return config_; }
  nn::ParameterList& parameters() { return parameters_; }
  const nn::ParameterList& parameters() const { return parameters_; }

  void initialize(const InitOptions& options);

  // Final hidden states [tokens, hidden], normalised. With `checkpoint_blocks`, each block's
  // inside is computed again for backward instead of being kept.
  Var hidden(Graph& graph, const TokenBatch& batch, bool checkpoint_blocks = false) const;
  // The sequence in `cache` goes on with `tokens`: their hidden states, same bits as hidden().
  Var hidden(Graph& graph, std::span<const std::int32_t> tokens, KvCache& cache,
             Rows rows = {}) const;
  // Several sequences at once, each by as many tokens as it likes: tokens[segments[i] ..
  // segments[i+1]) go on with caches[i]. With `rows`, rising, the states of those tokens alone,
  // [rows, hidden]: the last block then computes nothing more of the others than the cache needs.
  Var hidden(Graph& graph, std::span<const std::int32_t> tokens,
             std::span<const std::int32_t> segments, std::span<KvCache* const> caches,
             Rows rows = {}) const;

  // Loss over targets (-1: none), see ops::head_loss.
  Var loss(Graph& graph, const Var& hidden, std::span<const std::int32_t> targets,
           ops::HeadLossConfig options) const;
  // f32 logits [rows, vocab] of some hidden rows.
  Tensor logits(Graph& graph, const Tensor& hidden) const;

  // For inference: packs all projections in `compute`, in place of their f32 values. The model can
  // no longer be trained or saved.
  void pack(DType compute);
  // Of all that is packed: what a step reads.
  std::size_t packed_bytes() const;
  // For inference: a matrix that products read or the embedding is, packed in `compute` while
  // others are still to come. Values of bf16 and f16 are kept as such; the results keep the bits of
  // f32.
  void set_matrix(nn::Parameter& matrix, const Tensor& values, DType compute);
  // Whether set_matrix() takes it.
  bool multiplies(const nn::Parameter& parameter) const;
  // For inference: the values of a matrix of the model, in the quantised blocks of a file. The
  // embedding goes on reading them; products pack them as they come (cpu::pack_blocks). Its f32
  // values are dropped.
  void set_blocks(nn::Parameter& matrix, std::span<const cpu::BlockRows> parts,
                  cpu::BlockSource source);
  // Packs all blocks now: no later product is slower for it.
  void pack_blocks();

 private:
  struct Block {
    nn::Norm attention_norm, mlp_norm;
    std::optional<nn::Norm> attention_post_norm, mlp_post_norm;
    nn::Linear qkv, attention_output, up, down;
    nn::Parameter* q_norm = nullptr;
    nn::Parameter* k_norm = nullptr;
    ops::RotaryConfig rotary;
    ops::AttentionConfig attention;
  };
  Block make_block(std::int64_t layer, const TensorNames& names);
  void set_packed(const nn::Parameter& matrix, cpu::PackedMatrix packed);
  // histories[s]: what precedes segment s; empty: nothing does.
  Var embed(Graph& graph, const TokenBatch& batch,
            std::span<const std::span<const std::int32_t>> histories) const;
  // attend: rotated qkv -> attention output, from the batch or through the cache.
  template <typename Attend>
  Var run_block(Graph& graph, const Block& block, const Var& x,
                std::span<const std::int32_t> positions, Attend&& attend, Rows rows = {}) const;
  ops::RotaryConfig rotary_config(std::int64_t layer) const;
  ops::AttentionConfig attention_config(std::int64_t layer) const;

  TransformerConfig config_;
  nn::ParameterList parameters_;
  nn::Parameter* embedding_ = nullptr;
  std::vector<nn::Parameter*> ngrams_;  // of order 2, 3, …
  nn::Parameter* positions_ = nullptr;
  nn::Parameter* head_ = nullptr;  // null when tied
  cpu::PackedMatrix packed_head_;
  ops::BlockTable embedding_blocks_;
  nn::Norm final_norm_;
  std::vector<Block> blocks_;
};

}  // namespace stepstone
