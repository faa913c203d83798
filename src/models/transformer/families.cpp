#include "models/transformer/families.h"

#include <algorithm>

namespace stepstone {
namespace {

constexpr Family gemma(std::string_view model_type, std::string_view architecture) {
  return {.model_type = model_type,
          .architecture = architecture,
          .window = WindowKind::always,
          .norm_offset = 1,
          .post_norms = true,
          .scaled_embedding = true,
          .activation_key = "hidden_activation",
          .activation = "gelu_pytorch_tanh",
          .head_dim = 256,
          .tied = true};
}

constexpr Family gemma2() {
  Family f = gemma("gemma2", "Gemma2ForCausalLM");
  f.full_every = 2;
  f.attention_softcap = 50;
  f.logit_softcap = 30;
  return f;
}

constexpr Family gemma3() {
  Family f = gemma("gemma3_text", "Gemma3ForCausalLM");
  f.full_every = 6;
  f.qk_norm = true;
  f.theta = 1e6;
  f.local_theta = 1e4;
  return f;
}

constexpr Family kFamilies[] = {
    {.model_type = "llama", .architecture = "LlamaForCausalLM"},
    {.model_type = "mistral", .architecture = "MistralForCausalLM", .window = WindowKind::always},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .qkv_bias = true,
     .output_bias = false,
     .window = WindowKind::optional},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .qk_norm = true,
     .window = WindowKind::optional},
    {.model_type = "internlm2", .architecture = "InternLM2ForCausalLM", .bias_key = "bias"},
    {.model_type = "phi3", .architecture = "Phi3ForCausalLM", .window = WindowKind::always},
    gemma2(),
    gemma3(),
    {.model_type = "stepstone",
     .architecture = "StepstoneForCausalLM",
     .qk_norm = true,
     .window = WindowKind::optional,
     .ngrams = true},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

const Family* find_family(std::string_view model_type) {
  const auto found = std::ranges::find(kFamilies, model_type, &Family::model_type);
  return found == std::end(kFamilies) ? nullptr : &*found;
}

}  // namespace stepstone
