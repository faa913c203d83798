#include "stone/gguf_config.h"

#include <algorithm>
#include <cmath>

#include "core/suggest.h"
#include "io/json.h"
#include "models/transformer/families.h"
#include "ops/rotary/rotary_frequencies.h"
#include "stone/gguf_keys.h"

namespace stepstone {
namespace {

using Kind = ops::RopeScaling::Kind;

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "llama", .model_type = "llama", .paired_rows = true},
    {.name = "llama", .model_type = "mistral", .paired_rows = true},
    {.name = "qwen2", .model_type = "qwen2"},
    {.name = "qwen3", .model_type = "qwen3"},
    {.name = "gemma2", .model_type = "gemma2"},
    {.name = "gemma3", .model_type = "gemma3_text"},
    {.name = "phi3", .model_type = "phi3", .packed_qkv = true, .packed_up = true},
    {.name = "gpt2", .model_type = "gpt2", .packed_qkv = true},
    {.name = "internlm2", .model_type = "internlm2", .paired_rows = true},
};

const GgufArchitecture& architecture_of(const GgufFile& file) {
  constexpr const char* kKey = "general.architecture";
  const auto name = file.get<std::string>(kKey);
  std::vector<std::string> known;
  for (const GgufArchitecture& a : kArchitectures) {
    if (a.name == name) return a;
    known.emplace_back(a.name);
  }
  file.fail(kKey, fmt::format("\"{}\" is not a known family{}", name, did_you_mean(name, known)));
}

std::vector<double> factors(const GgufFile& file, const std::string& name) {
  Tensor t = file.tensor(name);
  if (t.dtype() != DType::f32) t = t.to(DType::f32);
  return {t.span<float>().begin(), t.span<float>().end()};
}

// Scaling without tensors of factors. A factor without a type is linear, as llama.cpp has it.
Json plain_scaling(const GgufKeys& keys, std::int64_t original) {
  const char* factor_key = keys.has("rope.scaling.factor") ? "rope.scaling.factor"
                                                           : "rope.scale_linear";  // its old name
  const double factor = keys.real_or(factor_key, 0);
  const std::string type = keys.text_or("rope.scaling.type", factor > 0 ? "linear" : "none");
  if (type == "none" || (type == "linear" && factor == 0)) return {{"rope_type", "default"}};
  if (type != "linear" && type != "yarn") {
    keys.fail("rope.scaling.type",
              fmt::format("\"{}\" is not known: none, linear and yarn are, and longrope with its "
                          "factors in tensors",
                          type));
  }
  if (!(factor > 0)) keys.fail(factor_key, fmt::format("{} is not positive", factor));
  Json rope = {
      {"rope_type", type}, {"factor", factor}, {"original_max_position_embeddings", original}};
  if (type == "yarn") {
    rope["beta_fast"] = keys.real_or("rope.scaling.yarn_beta_fast", 32);
    rope["beta_slow"] = keys.real_or("rope.scaling.yarn_beta_slow", 1);
  }
  return rope;
}

// Rotary scaling in the keys of config.json.
Json rope_of(const GgufFile& file, const GgufKeys& keys, std::int64_t context) {
  const std::int64_t original = keys.count_or("rope.scaling.original_context_length", context);
  const bool longrope = file.contains("rope_factors_long.weight");
  if (!longrope && !file.contains("rope_freqs.weight")) return plain_scaling(keys, original);
  const std::string type = keys.text_or("rope.scaling.type", "none");
  if (type != "none" && !(longrope && type == "longrope")) {
    keys.fail("rope.scaling.type",
              fmt::format("\"{}\" does not go with the file's tensors of factors", type));
  }
  if (longrope) {
    Json rope = {{"rope_type", "longrope"},
                 {"short_factor", factors(file, "rope_factors_short.weight")},
                 {"long_factor", factors(file, "rope_factors_long.weight")},
                 {"original_max_position_embeddings", original}};
    const double attention = keys.real_or("rope.scaling.attn_factor", 0);
    if (attention > 0) rope["attention_factor"] = attention;
    return rope;
  }
  const auto f = factors(file, "rope_freqs.weight");  // Llama 3: the same at any length
  return {{"rope_type", "longrope"}, {"short_factor", f},
          {"long_factor", f},        {"factor", 1.0},
          {"attention_factor", 1.0}, {"original_max_position_embeddings", original}};
}

double theta_of(const GgufKeys& keys, const char* key) {
  const double theta = keys.real(key);
  if (!(std::isfinite(theta) && theta > 1)) {
    keys.fail(key, fmt::format("must exceed 1, got {}", theta));
  }
  return theta;
}

Json gpt2_config(const GgufFile& file, const GgufKeys& keys, std::int64_t vocab) {
  const std::int64_t heads = keys.count("attention.head_count");
  keys.must_be("attention.head_count_kv", heads);
  if (heads > 0) {
    for (const char* key : {"attention.key_length", "attention.value_length"}) {
      keys.must_be(key, keys.count("embedding_length") / heads);
    }
  }
  return {{"model_type", "gpt2"},
          {"vocab_size", vocab},
          {"n_embd", keys.count("embedding_length")},
          {"n_layer", keys.count("block_count")},
          {"n_head", heads},
          {"n_inner", keys.count("feed_forward_length")},
          {"n_positions", keys.count("context_length")},
          {"layer_norm_epsilon", keys.real("attention.layer_norm_epsilon")},
          {"tie_word_embeddings", !file.contains("output.weight")}};
}

void add_gemma(const GgufKeys& keys, std::int64_t heads, std::int64_t head_dim, Json& json) {
  const auto cap = [&](const char* key) { return keys.has(key) ? Json(keys.real(key)) : Json(); };
  json["attn_logit_softcapping"] = cap("attn_logit_softcapping");
  json["final_logit_softcapping"] = cap("final_logit_softcapping");
  // The largest of each generation scales by the width of its model, which files of llama.cpp do
  // not say.
  const std::int64_t layers = keys.count("block_count");
  const bool largest = layers == 46 || layers == 62;
  json["query_pre_attn_scalar"] = largest ? keys.count("embedding_length") / heads : head_dim;
  if (keys.has("attention.scale")) {
    const double scale = keys.real("attention.scale");
    json["query_pre_attn_scalar"] = 1 / (scale * scale);
  }
  if (keys.has("rope.freq_base_swa")) {
    json["rope_local_base_freq"] = theta_of(keys, "rope.freq_base_swa");
  }
}

// What the layers with a window have of their own must be what the others have: Gemma's base
// apart, no known family differs there.
void check_windowed_layers(const GgufKeys& keys, std::int64_t head_dim, std::int64_t rotated) {
  keys.must_be("attention.key_length_swa", head_dim);
  keys.must_be("attention.value_length_swa", head_dim);
  keys.must_be("rope.dimension_count_swa", rotated);
}

void add_window(const GgufFile& file, const GgufKeys& keys, std::string_view model_type,
                std::int64_t context, Json& json) {
  const std::int64_t window = keys.count_or("attention.sliding_window", 0);
  const Family* family = find_family(model_type);
  if (window > 0 && window < context && family->window == WindowKind::none) {
    keys.fail("attention.sliding_window",
              fmt::format("is {}, but the family {} has no window", window, model_type));
  }
  json["use_sliding_window"] = window > 0;
  if (window > 0) json["sliding_window"] = window;
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  const std::string pattern = keys.full(kPattern);
  if (!file.has(pattern)) return;
  if (!file.metadata().find(pattern)->second.array) {  // every n-th layer has none
    json["sliding_window_pattern"] = keys.count(kPattern);
    if (window > 0 && family->full_every == 0) {
      keys.fail(kPattern, fmt::format("the family {} takes it as one value per layer", model_type));
    }
    return;
  }
  const std::vector<bool> layers = keys.flags(kPattern);
  if (window == 0) return;
  for (const bool windowed : layers) {
    json["layer_types"].push_back(windowed ? "sliding_attention" : "full_attention");
  }
}

Json folder_config(const GgufFile& file, const GgufArchitecture& architecture,
                   const GgufKeys& keys) {
  const std::int64_t vocab = file.info("token_embd.weight").shape.dim(0);
  if (architecture.name == "gpt2") return gpt2_config(file, keys, vocab);
  const std::int64_t context = keys.count("context_length");
  const std::int64_t hidden = keys.count("embedding_length");
  const std::int64_t heads = keys.count("attention.head_count");
  if (heads <= 0) keys.fail("attention.head_count", "is not positive");
  const std::int64_t head_dim = keys.count_or("attention.key_length", hidden / heads);
  if (head_dim <= 0) keys.fail("attention.key_length", "is not positive");
  keys.must_be("attention.value_length", head_dim);
  Json json = {{"model_type", architecture.model_type},
               {"vocab_size", vocab},
               {"hidden_size", hidden},
               {"num_hidden_layers", keys.count("block_count")},
               {"num_attention_heads", heads},
               {"num_key_value_heads", keys.count_or("attention.head_count_kv", heads)},
               {"head_dim", head_dim},
               {"intermediate_size", keys.count("feed_forward_length")},
               {"max_position_embeddings", context},
               {"rms_norm_eps", keys.real("attention.layer_norm_rms_epsilon")},
               {"tie_word_embeddings", !file.contains("output.weight")},
               {"rope_scaling", rope_of(file, keys, context)}};
  if (keys.has("rope.freq_base")) json["rope_theta"] = theta_of(keys, "rope.freq_base");
  const std::int64_t rotated = keys.count_or("rope.dimension_count", head_dim);
  if (rotated <= 0 || rotated > head_dim || rotated % 2 != 0) {
    keys.fail("rope.dimension_count",
              fmt::format("{} is not an even number up to {}", rotated, head_dim));
  }
  if (rotated < head_dim) {
    json["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(head_dim);
  }
  const bool bias = file.contains("blk.0.attn_q.bias");
  json["attention_bias"] = json["bias"] = bias;
  add_window(file, keys, architecture.model_type, context, json);
  check_windowed_layers(keys, head_dim, rotated);
  if (architecture.name.starts_with("gemma")) {
    add_gemma(keys, heads, head_dim, json);
  } else {
    keys.must_be_about("rope.freq_base_swa", json.value("rope_theta", 10000.0));
    keys.must_be_about("attention.scale", 1 / std::sqrt(static_cast<double>(head_dim)));
  }
  return json;
}

void write_rope(const TransformerConfig& c, GgufWriter& writer, const std::string& prefix) {
  const ops::RopeScaling& s = c.rope.scaling;
  writer.set(prefix + "rope.dimension_count",
             static_cast<std::uint32_t>(c.rope.rotary_dim > 0 ? c.rope.rotary_dim : c.head_dim));
  writer.set(prefix + "rope.freq_base", static_cast<float>(c.rope.theta));
  if (c.local_theta > 0) {
    writer.set(prefix + "rope.freq_base_swa", static_cast<float>(c.local_theta));
  }
  require<UsageError>(s.kind != Kind::dynamic_ntk,
                      "gguf: it has no dynamic rotary scaling, which this model uses");
  const bool phi = c.model_type == "phi3";
  if (s.kind != Kind::none || phi) {
    writer.set(prefix + "rope.scaling.original_context_length",
               static_cast<std::uint32_t>(s.original_max_position > 0 ? s.original_max_position
                                                                      : c.max_positions));
  }
  if (s.kind == Kind::linear || s.kind == Kind::yarn) {
    writer.set(prefix + "rope.scaling.type", s.kind == Kind::linear ? "linear" : "yarn");
    writer.set(prefix + "rope.scaling.factor", static_cast<float>(s.factor));
  }
  if (s.kind == Kind::yarn) {
    require<UsageError>(s.attention_factor == 0 && s.truncate,
                        "gguf: it has no attention_factor and no truncate of YaRN, which this "
                        "model sets");
    writer.set(prefix + "rope.scaling.yarn_beta_fast", static_cast<float>(s.beta_fast));
    writer.set(prefix + "rope.scaling.yarn_beta_slow", static_cast<float>(s.beta_slow));
  }
  if (s.kind == Kind::longrope) {
    const auto frequencies = ops::rope_frequencies(
        {c.rope.rotary_dim > 0 ? c.rope.rotary_dim : c.head_dim, c.rope.theta, s});
    writer.set(prefix + "rope.scaling.attn_factor",
               static_cast<float>(frequencies.attention_factor));
  }
}

}  // namespace

const GgufArchitecture& gguf_architecture(const TransformerConfig& config) {
  const auto found =
      std::ranges::find(kArchitectures, config.model_type, &GgufArchitecture::model_type);
  require<UsageError>(found != std::end(kArchitectures),
                      "gguf: there is no architecture for the family \"{}\"", config.model_type);
  return *found;
}

TransformerConfig read_gguf_config(const GgufFile& file) {
  const GgufArchitecture& architecture = architecture_of(file);
  const GgufKeys keys(file, architecture.name);
  const Json json = folder_config(file, architecture, keys);
  keys.check_others();
  return transformer_config_from_json(json, file.file());
}

void write_gguf_config(const TransformerConfig& c, GgufWriter& writer) {
  const GgufArchitecture& architecture = gguf_architecture(c);
  const std::string prefix = std::string(architecture.name) + ".";
  const auto count = [&](const char* key, std::int64_t value) {
    writer.set(prefix + key, static_cast<std::uint32_t>(value));
  };
  writer.set("general.architecture", std::string(architecture.name));
  count("context_length", c.max_positions);
  count("embedding_length", c.hidden_size);
  count("block_count", c.layers);
  count("feed_forward_length", c.intermediate_size);
  count("attention.head_count", c.heads);
  count("vocab_size", c.vocab_size);
  if (c.norm == nn::NormKind::layer) {
    writer.set(prefix + "attention.layer_norm_epsilon", c.norm_eps);
    return;
  }
  count("attention.head_count_kv", c.kv_heads);
  count("attention.key_length", c.head_dim);
  count("attention.value_length", c.head_dim);
  writer.set(prefix + "attention.layer_norm_rms_epsilon", c.norm_eps);
  if (c.window > 0 && architecture.name != "llama") {
    count("attention.sliding_window", c.window);
    if (!c.windowed.empty()) {
      writer.set(prefix + "attention.sliding_window_pattern", c.windowed);
    }
  }
  const double plain_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  if (c.attention_scale > 0 && std::abs(c.attention_scale - plain_scale) > 1e-6 * plain_scale) {
    writer.set(prefix + "attention.scale", c.attention_scale);
  }
  if (c.attention_softcap > 0) {
    writer.set(prefix + "attn_logit_softcapping", c.attention_softcap);
  }
  if (c.logit_softcap > 0) writer.set(prefix + "final_logit_softcapping", c.logit_softcap);
  write_rope(c, writer, prefix);
}

std::vector<std::string> gguf_losses(const TransformerConfig& c) {
  const bool windowed = c.window > 0 && c.window < c.max_positions;
  if (!windowed || gguf_architecture(c).name != "llama") return {};
  return {
      fmt::format("GGUF has no sliding window for {}: beyond {} tokens of context the model "
                  "will attend to more than it was trained with",
                  c.model_type, c.window)};
}

TensorNames gguf_names(const TransformerConfig& config) {
  const GgufArchitecture& a = gguf_architecture(config);
  TensorNames n;
  n.embedding = "token_embd";
  n.positions = "position_embd";
  n.final_norm = "output_norm";
  n.head = "output";
  n.layer = "blk.";
  n.attention_norm = "attn_norm";
  n.mlp_norm = "ffn_norm";
  n.attention_post_norm = "post_attention_norm";
  n.mlp_post_norm = "post_ffw_norm";
  n.attention_output = "attn_output";
  n.down = "ffn_down";
  n.qkv = {"attn_q", "attn_k", "attn_v"};
  if (a.packed_qkv) n.qkv = {"attn_qkv"};
  n.up = {"ffn_gate", "ffn_up"};
  if (a.packed_up || !config.gated) n.up = {"ffn_up"};
  return n;
}

}  // namespace stepstone
