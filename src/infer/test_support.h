// For tests only: tiny models with random weights, of the two shapes that differ most.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "models/transformer/transformer.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace stepstone::testing {

inline Tokenizer tiny_tokenizer() { return Tokenizer::bytes(ChatTemplate::special_tokens()); }

inline TransformerConfig tiny_config(const std::string& family, std::int64_t context) {
  TransformerConfig c;
  c.model_type = family;
  c.vocab_size = tiny_tokenizer().vocab_size() + 5;  // rows that no token has
  c.hidden_size = 48;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 16;
  c.intermediate_size = 96;
  c.max_positions = context;
  c.qk_norm = true;
  if (family == "gpt2") {
    c.kv_heads = 4;
    c.head_dim = 12;
    c.norm = nn::NormKind::layer;
    c.position = PositionKind::learned;
    c.activation = ops::Activation::gelu_tanh;
    c.qk_norm = c.gated = false;
    c.qkv_bias = c.attention_output_bias = c.mlp_bias = c.tied_head = true;
  }
  if (family == "stepstone") {
    c.ngram_order = 3;
    c.ngram_buckets = 100;
  }
  return c;
}

// Weights large enough that the text they give varies.
inline std::unique_ptr<Transformer> tiny_model(const std::string& family,
                                               std::int64_t context = 64) {
  auto model = std::make_unique<Transformer>(tiny_config(family, context));
  model->initialize(
      {.seed = 3, .embedding_std = 0.5f, .matrix_gain = 1.5f, .residual_gain = 1, .head_gain = 6});
  return model;
}

}  // namespace stepstone::testing
