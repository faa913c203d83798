// Tensor names of a family's Hugging Face file.
#pragma once

#include <string>
#include <vector>

#include "models/transformer/config.h"
#include "nn/parameter.h"

namespace stepstone {

struct TensorNames {
  std::string embedding = "model.embed_tokens", positions = "model.embed_positions";
  std::string final_norm = "model.norm", head = "lm_head", layer = "model.layers.";
  // Within a layer.
  std::string attention_norm = "input_layernorm", mlp_norm = "post_attention_layernorm";
  std::string attention_post_norm, mlp_post_norm;  // with post_norms
  std::string attention_output = "self_attn.o_proj", down = "mlp.down_proj";
  std::vector<std::string> qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  std::vector<std::string> up = {"mlp.gate_proj", "mlp.up_proj"};
  bool transposed = false;   // matrices are stored as [in, out]
  bool grouped_qkv = false;  // one tensor: for each key head its query heads, key and value
};

TensorNames tensor_names(const TransformerConfig& config);

// The rows of query, key and value heads, in our order, as parts of the file's tensors; `suffix`
// is ".weight" or ".bias".
std::vector<nn::Part> qkv_parts(const TransformerConfig& config, const TensorNames& names,
                                const std::string& prefix, const std::string& suffix);

}  // namespace stepstone
