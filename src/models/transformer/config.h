// The shape of a decoder-only transformer, read from and written to a Hugging Face config.json.
//
// One block covers the family; a member is a mapping from its config.json to these fields
// (families.h), not code.
#pragma once

#include <nlohmann/json_fwd.hpp>  // parsing with limits is io/json.h
#include <string>
#include <vector>

#include "nn/layers.h"
#include "ops/activation/activation.h"
#include "ops/rotary/rotary.h"

namespace stepstone {

enum class PositionKind : std::uint8_t { rotary, learned };

struct TransformerConfig {
  std::string model_type = "qwen3";  // as in config.json; decides names and defaults

  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t max_positions = 0;  // context length

  nn::NormKind norm = nn::NormKind::rms;
  float norm_eps = 1e-6f;
  PositionKind position = PositionKind::rotary;
  ops::RotaryConfig rope;  // theta, rotary_dim (0: head_dim) and scaling
  double local_theta = 0;  // theta in the layers with a window, unscaled; 0: `rope` there too
  bool qk_norm = false;
  ops::Activation activation = ops::Activation::silu;
  bool gated = true;  // act(gate) * up, else act(up)
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  std::int64_t window = 0;     // sliding attention window, 0: none
  std::vector<bool> windowed;  // which layers have it; empty: all
  float attention_scale = 0;   // of the scores, 0: 1 / sqrt(head_dim)
  float attention_softcap = 0;
  float logit_softcap = 0;
  float embedding_scale = 1;
  float norm_offset = 0;    // added to the weights of norms
  bool post_norms = false;  // norms after attention and MLP too, before they are added
  float dropout = 0;
  // Tables of n-gram embeddings for n = 2 .. ngram_order (ngrams.h); 0: none.
  std::int64_t ngram_order = 0, ngram_buckets = 0;

  bool has_window(std::int64_t layer) const {
    return window > 0 && (windowed.empty() || windowed[static_cast<std::size_t>(layer)]);
  }
  // Throws UsageError naming the first field that cannot be.
  void validate() const;
  std::int64_t parameters() const;
  std::int64_t block_parameters() const;  // of all layers: without embeddings and head
  // Matrix FLOPs of forward and backward per token, attention at the given context included
  // (6 per weight, and 12 · layers · heads · head_dim · context / 2 for the causal half).
  double flops_per_token(std::int64_t context) const;
};

// Throws FormatError naming `file` and the field.
TransformerConfig transformer_config_from_json(const nlohmann::json& json, const std::string& file);
nlohmann::json to_json(const TransformerConfig& config);

}  // namespace stepstone
