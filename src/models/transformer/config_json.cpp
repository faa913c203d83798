// config.json of Hugging Face transformers <-> TransformerConfig.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/suggest.h"
#include "io/json.h"
#include "models/transformer/config.h"
#include "models/transformer/families.h"
#include "models/transformer/foreign_fields.h"
#include "models/transformer/rope_json.h"

namespace stepstone {
namespace {

struct ActivationName {
  std::string_view name;
  ops::Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"silu", ops::Activation::silu},          {"swish", ops::Activation::silu},
    {"gelu", ops::Activation::gelu_erf},      {"gelu_pytorch_tanh", ops::Activation::gelu_tanh},
    {"gelu_new", ops::Activation::gelu_tanh}, {"relu", ops::Activation::relu},
    {"relu2", ops::Activation::relu2},
};

// The fields of one config.json.
class Reader {
 public:
  Reader(const Json& json, const std::string& file) : json_(json), file_(file) {}

  std::int64_t count(std::string_view field) const {
    return checked(field, get<std::int64_t>(json_, field, file_));
  }
  std::int64_t count_or(std::string_view field, std::int64_t otherwise) const {
    return checked(field, get_or<std::int64_t>(json_, field, file_, otherwise));
  }
  template <typename T>
  T value_or(std::string_view field, T otherwise) const {
    return get_or<T>(json_, field, file_, otherwise);
  }
  [[noreturn]] void fail(std::string_view field, std::string_view problem) const {
    throw FormatError(file_, field, problem);
  }
  ops::Activation activation(std::string_view field, std::string_view otherwise) const {
    const auto name = value_or<std::string>(field, std::string(otherwise));
    for (const auto& known : kActivations) {
      if (known.name == name) return known.activation;
    }
    fail(field, fmt::format("unknown activation \"{}\"", name));
  }
  const Json& json() const { return json_; }

 private:
  std::int64_t checked(std::string_view field, std::int64_t value) const {
    if (value < 0 || value > (std::int64_t{1} << 24)) {
      fail(field, fmt::format("{} is out of range", value));
    }
    return value;
  }

  const Json& json_;
  const std::string& file_;
};

TransformerConfig read_gpt2(const Reader& r) {
  TransformerConfig c;
  c.vocab_size = r.count("vocab_size");
  c.hidden_size = r.count("n_embd");
  c.layers = r.count("n_layer");
  c.heads = c.kv_heads = r.count("n_head");
  if (c.heads == 0 || c.hidden_size % c.heads != 0) r.fail("n_head", "does not divide n_embd");
  c.head_dim = c.hidden_size / c.heads;
  c.intermediate_size = r.count_or("n_inner", 4 * c.hidden_size);
  c.max_positions = r.count("n_positions");
  c.norm = nn::NormKind::layer;
  c.norm_eps = r.value_or("layer_norm_epsilon", 1e-5f);
  c.position = PositionKind::learned;
  c.activation = r.activation("activation_function", "gelu_new");
  c.gated = false;
  c.qkv_bias = c.attention_output_bias = c.mlp_bias = true;
  c.tied_head = r.value_or("tie_word_embeddings", true);
  c.dropout = 0;  // a property of the training run, not of the weights
  return c;
}

// layer_types of transformers 5: which layers have a window. Empty where it does not say.
std::vector<bool> read_layer_types(const Reader& r, std::int64_t layers) {
  const Json* types = find_field(r.json(), "layer_types");
  if (types == nullptr || types->is_null()) return {};
  if (!types->is_array()) r.fail("layer_types", "expected an array");
  std::vector<bool> windowed;
  for (const Json& type : *types) {
    if (type != "sliding_attention" && type != "full_attention") {
      r.fail("layer_types", fmt::format("{} is not known: full_attention and sliding_attention are",
                                        dump_json(type)));
    }
    windowed.push_back(type == "sliding_attention");
  }
  if (static_cast<std::int64_t>(windowed.size()) != layers) {
    r.fail("layer_types", fmt::format("{} entries for {} layers", windowed.size(), layers));
  }
  return windowed;
}

// What the family does where layer_types is absent.
std::vector<bool> usual_windows(const Reader& r, const Family& family, std::int64_t layers) {
  std::vector<bool> windowed;
  if (family.full_every > 0) {
    const std::int64_t every = r.count_or("sliding_window_pattern", family.full_every);
    if (every == 0) r.fail("sliding_window_pattern", "is zero");
    for (std::int64_t i = 0; i < layers; ++i) windowed.push_back((i + 1) % every != 0);
  } else if (family.window == WindowKind::optional) {
    const std::int64_t first = r.count_or("max_window_layers", 0);
    for (std::int64_t i = 0; i < layers; ++i) windowed.push_back(i >= first);
  }
  return windowed;
}

void read_window(const Reader& r, const Family& family, TransformerConfig& c) {
  c.windowed = read_layer_types(r, c.layers);
  const bool wanted = family.window != WindowKind::none &&
                      r.value_or("use_sliding_window", family.window == WindowKind::always);
  if (wanted) c.window = r.count_or("sliding_window", 0);
  if (c.window == 0) {
    if (std::ranges::find(c.windowed, true) != c.windowed.end()) {
      r.fail("layer_types", "has sliding_attention, but there is no window");
    }
    c.windowed.clear();
    return;
  }
  if (c.windowed.empty()) c.windowed = usual_windows(r, family, c.layers);
  if (std::ranges::all_of(c.windowed, [](bool w) { return w; })) c.windowed.clear();
}

// What Gemma has beside the rest.
void read_scales(const Reader& r, const Family& family, TransformerConfig& c) {
  c.norm_offset = family.norm_offset;
  c.post_norms = family.post_norms;
  if (family.scaled_embedding) c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  if (!family.post_norms) return;
  c.attention_softcap = r.value_or("attn_logit_softcapping", family.attention_softcap);
  c.logit_softcap = r.value_or("final_logit_softcapping", family.logit_softcap);
  const auto scalar = r.value_or("query_pre_attn_scalar", 256.0f);
  if (!(scalar > 0)) r.fail("query_pre_attn_scalar", "is not positive");
  c.attention_scale = 1 / std::sqrt(scalar);
}

TransformerConfig read_llama_like(const Reader& r, const Family& family, const std::string& file) {
  TransformerConfig c;
  c.vocab_size = r.count("vocab_size");
  c.hidden_size = r.count("hidden_size");
  c.layers = r.count("num_hidden_layers");
  c.heads = r.count("num_attention_heads");
  if (c.heads == 0) r.fail("num_attention_heads", "is zero");
  c.kv_heads = r.count_or("num_key_value_heads", c.heads);
  c.head_dim =
      r.count_or("head_dim", family.head_dim > 0 ? family.head_dim : c.hidden_size / c.heads);
  c.intermediate_size = r.count("intermediate_size");
  c.max_positions = r.count_or("max_position_embeddings", 2048);
  c.norm_eps = r.value_or("rms_norm_eps", 1e-6f);
  c.activation = r.activation(family.activation_key, family.activation);
  c.qk_norm = family.qk_norm;
  const bool bias = r.value_or(family.bias_key, false);
  c.qkv_bias = family.qkv_bias || bias;
  c.attention_output_bias = family.output_bias && bias;
  c.mlp_bias = r.value_or("mlp_bias", false);
  c.tied_head = r.value_or("tie_word_embeddings", family.tied);
  read_window(r, family, c);
  read_scales(r, family, c);
  if (family.ngrams) {
    c.ngram_order = r.count_or("ngram_order", 0);
    c.ngram_buckets = r.count_or("ngram_buckets", 0);
  }
  c.rope.theta = family.theta;
  c.local_theta = family.local_theta;
  read_rope(r.json(), file, c);
  return c;
}

void write_window(const TransformerConfig& c, const Family& family, Json& json) {
  if (family.window == WindowKind::none) return;
  json["sliding_window"] = c.window > 0 ? Json(c.window) : Json();
  if (family.window == WindowKind::optional) {
    json["use_sliding_window"] = c.window > 0;
    json["max_window_layers"] = 0;
  }
  if (c.window == 0 || (c.windowed.empty() && family.full_every == 0)) return;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    json["layer_types"].push_back(c.has_window(i) ? "sliding_attention" : "full_attention");
  }
}

void write_scales(const TransformerConfig& c, Json& json) {
  if (!c.post_norms) return;
  const auto or_null = [](float cap) { return cap > 0 ? Json(shortest_decimal(cap)) : Json(); };
  json["attn_logit_softcapping"] = or_null(c.attention_softcap);
  json["final_logit_softcapping"] = or_null(c.logit_softcap);
  const double scale =
      c.attention_scale > 0 ? c.attention_scale : 1 / std::sqrt(static_cast<double>(c.head_dim));
  // A whole number, as it was before the root was taken in f32.
  json["query_pre_attn_scalar"] = std::round(1e3 / (scale * scale)) / 1e3;
}

std::string_view activation_name(ops::Activation activation) {
  for (const auto& known : kActivations) {
    if (known.activation == activation) return known.name;
  }
  throw UsageError("model.activation: has no name in config.json");
}

}  // namespace

TransformerConfig transformer_config_from_json(const Json& json, const std::string& file) {
  if (!json.is_object()) throw FormatError(file, "root", "expected an object");
  const auto type = get<std::string>(json, "model_type", file);
  const Reader reader(json, file);
  TransformerConfig config;
  const Family* family = find_family(type);
  if (family != nullptr || type == "gpt2") refuse_foreign_fields(json, file, family);
  if (type == "gpt2") {
    config = read_gpt2(reader);
  } else if (family) {
    config = read_llama_like(reader, *family, file);
  } else {
    std::vector<std::string> known = {"gpt2"};
    for (const Family& f : families()) known.emplace_back(f.model_type);
    reader.fail("model_type",
                fmt::format("\"{}\" is not a known family{}", type, did_you_mean(type, known)));
  }
  config.model_type = type;
  try {
    config.validate();
  } catch (const UsageError& e) {
    throw FormatError(file, "config", e.what());
  }
  return config;
}

Json to_json(const TransformerConfig& c) {
  if (c.model_type == "gpt2") {
    return {{"architectures", {"GPT2LMHeadModel"}},
            {"model_type", "gpt2"},
            {"dtype", "float32"},
            {"vocab_size", c.vocab_size},
            {"n_embd", c.hidden_size},
            {"n_layer", c.layers},
            {"n_head", c.heads},
            {"n_inner", c.intermediate_size},
            {"n_positions", c.max_positions},
            {"layer_norm_epsilon", shortest_decimal(c.norm_eps)},
            {"activation_function", activation_name(c.activation)},
            {"tie_word_embeddings", c.tied_head}};
  }
  const Family* family = find_family(c.model_type);
  require<UsageError>(family != nullptr, "model.family: \"{}\" has no config.json", c.model_type);
  Json json = {{"architectures", {family->architecture}},
               {"model_type", c.model_type},
               {"dtype", "float32"},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.hidden_size},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"num_key_value_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"intermediate_size", c.intermediate_size},
               {"max_position_embeddings", c.max_positions},
               {"rms_norm_eps", shortest_decimal(c.norm_eps)},
               {std::string(family->activation_key), activation_name(c.activation)},
               {std::string(family->bias_key), family->qkv_bias ? false : c.qkv_bias},
               {"mlp_bias", c.mlp_bias},
               {"tie_word_embeddings", c.tied_head}};
  write_rope(c, json);
  write_window(c, *family, json);
  write_scales(c, json);
  if (family->ngrams) {
    json["ngram_order"] = c.ngram_order;
    json["ngram_buckets"] = c.ngram_buckets;
  }
  return json;
}

}  // namespace stepstone
