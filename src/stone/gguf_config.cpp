#include "stone/gguf_config.h"

#include <algorithm>
#include <cmath>

#include "core/suggest.h"
#include "io/json.h"
#include "ops/rotary/rotary_frequencies.h"

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

// The keys of one architecture.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  bool has(std::string_view key) const { return file_.has(full(key)); }
  std::int64_t count(std::string_view key) const {
    const std::string name = full(key);
    const GgufValue* value = file_.has(name) ? &file_.metadata().find(name)->second : nullptr;
    if (value != nullptr && value->array) {  // one per layer: all must be the same
      const auto each = file_.get<std::vector<std::int64_t>>(name);
      if (each.empty() || std::ranges::count(each, each[0]) != std::ssize(each)) {
        file_.fail(name, "differs between layers, which no known family does");
      }
      return each[0];
    }
    return file_.get<std::int64_t>(name);
  }
  std::int64_t count_or(std::string_view key, std::int64_t otherwise) const {
    return has(key) ? count(key) : otherwise;
  }
  double real(std::string_view key) const { return file_.get<double>(full(key)); }
  double real_or(std::string_view key, double otherwise) const {
    return has(key) ? real(key) : otherwise;
  }
  std::string text_or(std::string_view key, const char* otherwise) const {
    return file_.get_or<std::string>(full(key), otherwise);
  }
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

std::vector<double> factors(const GgufFile& file, const std::string& name) {
  Tensor t = file.tensor(name);
  if (t.dtype() != DType::f32) t = t.to(DType::f32);
  return {t.span<float>().begin(), t.span<float>().end()};
}

// Rotary scaling in the keys of config.json.
Json rope_of(const GgufFile& file, const Keys& keys, std::int64_t context) {
  Json rope = {{"rope_type", "default"}};
  const std::int64_t original = keys.count_or("rope.scaling.original_context_length", context);
  if (file.contains("rope_factors_long.weight")) {
    rope = {{"rope_type", "longrope"},
            {"short_factor", factors(file, "rope_factors_short.weight")},
            {"long_factor", factors(file, "rope_factors_long.weight")},
            {"original_max_position_embeddings", original}};
    const double attention = keys.real_or("rope.scaling.attn_factor", 0);
    if (attention > 0) rope["attention_factor"] = attention;
  } else if (file.contains("rope_freqs.weight")) {  // Llama 3: the same factors at any length
    const auto f = factors(file, "rope_freqs.weight");
    rope = {{"rope_type", "longrope"}, {"short_factor", f},
            {"long_factor", f},        {"factor", 1.0},
            {"attention_factor", 1.0}, {"original_max_position_embeddings", original}};
  } else if (const auto type = keys.text_or("rope.scaling.type", "none"); type != "none") {
    rope = {{"rope_type", type},
            {"factor", keys.real_or("rope.scaling.factor", 1)},
            {"original_max_position_embeddings", original}};
  }
  return rope;
}

Json gpt2_config(const GgufFile& file, const Keys& keys, std::int64_t vocab) {
  return {{"model_type", "gpt2"},
          {"vocab_size", vocab},
          {"n_embd", keys.count("embedding_length")},
          {"n_layer", keys.count("block_count")},
          {"n_head", keys.count("attention.head_count")},
          {"n_inner", keys.count("feed_forward_length")},
          {"n_positions", keys.count("context_length")},
          {"layer_norm_epsilon", keys.real("attention.layer_norm_epsilon")},
          {"tie_word_embeddings", !file.contains("output.weight")}};
}

void add_gemma(const Keys& keys, std::int64_t heads, std::int64_t head_dim, Json& json) {
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
    json["rope_local_base_freq"] = keys.real("rope.freq_base_swa");
  }
}

Json folder_config(const GgufFile& file, const GgufArchitecture& architecture) {
  const Keys keys(file, architecture.name);
  const std::int64_t vocab = file.info("token_embd.weight").shape.dim(0);
  if (architecture.name == "gpt2") return gpt2_config(file, keys, vocab);
  const std::int64_t context = keys.count("context_length");
  const std::int64_t hidden = keys.count("embedding_length");
  const std::int64_t heads = keys.count("attention.head_count");
  if (heads <= 0) file.fail(keys.full("attention.head_count"), "is not positive");
  const std::int64_t head_dim = keys.count_or("attention.key_length", hidden / heads);
  if (head_dim <= 0) file.fail(keys.full("attention.key_length"), "is not positive");
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
  if (keys.has("rope.freq_base")) json["rope_theta"] = keys.real("rope.freq_base");
  const double rotated = static_cast<double>(keys.count_or("rope.dimension_count", head_dim));
  if (rotated < static_cast<double>(head_dim)) {
    json["partial_rotary_factor"] = rotated / static_cast<double>(head_dim);
  }
  const bool bias = file.contains("blk.0.attn_q.bias");
  json["attention_bias"] = json["bias"] = bias;
  if (const std::int64_t window = keys.count_or("attention.sliding_window", 0); window > 0) {
    json["sliding_window"] = window;
    json["use_sliding_window"] = true;
    const std::string pattern = keys.full("attention.sliding_window_pattern");
    if (file.has(pattern) && file.metadata().find(pattern)->second.array) {
      for (const bool windowed : file.get<std::vector<bool>>(pattern)) {
        json["layer_types"].push_back(windowed ? "sliding_attention" : "full_attention");
      }
    }
  }
  if (architecture.name.starts_with("gemma")) add_gemma(keys, heads, head_dim, json);
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
  return transformer_config_from_json(folder_config(file, architecture), file.file());
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
