#include "models/transformer/names.h"

namespace stepstone {
namespace {

TensorNames gpt2_names() {
  TensorNames n;
  n.embedding = "transformer.wte";
  n.positions = "transformer.wpe";
  n.final_norm = "transformer.ln_f";
  n.layer = "transformer.h.";
  n.attention_norm = "ln_1";
  n.mlp_norm = "ln_2";
  n.attention_output = "attn.c_proj";
  n.down = "mlp.c_proj";
  n.qkv = {"attn.c_attn"};
  n.up = {"mlp.c_fc"};
  n.transposed = true;
  return n;
}

TensorNames internlm2_names() {
  TensorNames n;
  n.embedding = "model.tok_embeddings";
  n.head = "output";
  n.attention_norm = "attention_norm";
  n.mlp_norm = "ffn_norm";
  n.attention_output = "attention.wo";
  n.down = "feed_forward.w2";
  n.qkv = {"attention.wqkv"};
  n.up = {"feed_forward.w1", "feed_forward.w3"};
  n.grouped_qkv = true;
  return n;
}

}  // namespace

TensorNames tensor_names(const TransformerConfig& config) {
  if (config.model_type == "gpt2") return gpt2_names();
  if (config.model_type == "internlm2") return internlm2_names();
  TensorNames n;
  if (config.model_type == "phi3") {
    n.qkv = {"self_attn.qkv_proj"};
    n.up = {"mlp.gate_up_proj"};
  }
  if (config.post_norms) {
    n.attention_post_norm = "post_attention_layernorm";
    n.mlp_norm = "pre_feedforward_layernorm";
    n.mlp_post_norm = "post_feedforward_layernorm";
  }
  if (!config.gated) n.up.erase(n.up.begin());
  return n;
}

std::vector<nn::Part> qkv_parts(const TransformerConfig& c, const TensorNames& names,
                                const std::string& prefix, const std::string& suffix) {
  const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  if (names.qkv.size() == 3) {
    return {{prefix + names.qkv[0] + suffix, q},
            {prefix + names.qkv[1] + suffix, kv},
            {prefix + names.qkv[2] + suffix, kv}};
  }
  const std::string name = prefix + names.qkv[0] + suffix;
  if (!names.grouped_qkv) return {{name, q + 2 * kv}};
  const std::int64_t queries = q / c.kv_heads, group = queries + 2 * c.head_dim;
  std::vector<nn::Part> parts;
  for (std::int64_t g = 0; g < c.kv_heads; ++g) parts.push_back({name, queries, g * group});
  for (std::int64_t g = 0; g < c.kv_heads; ++g) {
    parts.push_back({name, c.head_dim, g * group + queries});
  }
  for (std::int64_t g = 0; g < c.kv_heads; ++g) {
    parts.push_back({name, c.head_dim, g * group + queries + c.head_dim});
  }
  return parts;
}

}  // namespace stepstone
