// The members of the decoder family that share Llama's key names in config.json: what each of them
// has that Llama has not. A new member is one entry here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace stepstone {

enum class WindowKind : std::uint8_t {
  none,      // sliding_window does not count
  optional,  // it counts with use_sliding_window
  always,    // it counts where it is given
};

struct Family {
  std::string_view model_type, architecture;
  bool qk_norm = false;
  bool qkv_bias = false;  // whatever attention_bias says
  std::string_view bias_key = "attention_bias";
  bool output_bias = true;  // it covers the attention's output projection too
  WindowKind window = WindowKind::none;
  std::int64_t full_every = 0;  // every n-th layer has no window, unless layer_types says otherwise
  bool ngrams = false;          // n-gram embeddings: a family of our own
  // Gemma.
  float norm_offset = 0;
  bool post_norms = false;
  bool scaled_embedding = false;  // by sqrt(hidden_size)
  std::string_view activation_key = "hidden_act";
  float attention_softcap = 0, logit_softcap = 0;  // where the key is absent
  double theta = 10000, local_theta = 0;           // the same
  // What an absent key means.
  std::string_view activation = "silu";
  std::int64_t head_dim = 0;  // 0: hidden_size / heads
  bool tied = false;
};

std::span<const Family> families();
// Null when unknown.
const Family* find_family(std::string_view model_type);

}  // namespace stepstone
