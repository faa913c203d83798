// config.json of Hugging Face transformers <-> TransformerConfig. A new member of the family is
// one entry in kFamilies.
#include <array>
#include <string_view>

#include "core/suggest.h"
#include "io/json.h"
#include "models/transformer/config.h"

namespace stepstone {
namespace {

struct Family {
  std::string_view model_type, architecture;
  bool qk_norm = false;
  bool qkv_bias = false;    // whatever attention_bias says
  bool output_bias = true;  // attention_bias covers o_proj too
  bool window = false;      // sliding_window counts
  bool ngrams = false;      // n-gram embeddings: a family of our own
};

// The families that share Llama's key names.
constexpr Family kFamilies[] = {
    {.model_type = "llama", .architecture = "LlamaForCausalLM"},
    {.model_type = "mistral", .architecture = "MistralForCausalLM", .window = true},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .qkv_bias = true,
     .output_bias = false,
     .window = true},
    {.model_type = "qwen3", .architecture = "Qwen3ForCausalLM", .qk_norm = true, .window = true},
    {.model_type = "stepstone",
     .architecture = "StepstoneForCausalLM",
     .qk_norm = true,
     .window = true,
     .ngrams = true},
};

struct ActivationName {
  std::string_view name;
  ops::Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"silu", ops::Activation::silu},
    {"swish", ops::Activation::silu},
    {"gelu", ops::Activation::gelu_erf},
    {"gelu_new", ops::Activation::gelu_tanh},
    {"gelu_pytorch_tanh", ops::Activation::gelu_tanh},
    {"relu", ops::Activation::relu},
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

void read_rope_scaling(const Json& json, const Reader& reader, const std::string& file,
                       TransformerConfig& config) {
  using Kind = ops::RopeScaling::Kind;
  ops::RopeScaling& scaling = config.rope.scaling;
  auto kind = get_or<std::string>(json, "rope_type", file, "");
  if (kind.empty()) kind = get_or<std::string>(json, "type", file, "default");
  if (kind == "default") return;
  scaling.factor = get<double>(json, "factor", file);
  scaling.original_max_position =
      get_or<std::int64_t>(json, "original_max_position_embeddings", file, config.max_positions);
  if (kind == "linear") {
    scaling.kind = Kind::linear;
  } else if (kind == "dynamic") {
    scaling.kind = Kind::dynamic_ntk;
    scaling.length = config.max_positions;
  } else if (kind == "llama3") {
    scaling.kind = Kind::llama3;
    scaling.low_freq_factor = get<double>(json, "low_freq_factor", file);
    scaling.high_freq_factor = get<double>(json, "high_freq_factor", file);
  } else if (kind == "yarn") {
    scaling.kind = Kind::yarn;
    scaling.beta_fast = get_or<double>(json, "beta_fast", file, 32);
    scaling.beta_slow = get_or<double>(json, "beta_slow", file, 1);
    scaling.attention_factor = get_or<double>(json, "attention_factor", file, 0);
    scaling.truncate = get_or<bool>(json, "truncate", file, true);
  } else {
    reader.fail("rope_scaling", fmt::format("unknown rope_type \"{}\"", kind));
  }
}

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

TransformerConfig read_llama_like(const Reader& r, const Family& family, const std::string& file) {
  TransformerConfig c;
  c.vocab_size = r.count("vocab_size");
  c.hidden_size = r.count("hidden_size");
  c.layers = r.count("num_hidden_layers");
  c.heads = r.count("num_attention_heads");
  if (c.heads == 0) r.fail("num_attention_heads", "is zero");
  c.kv_heads = r.count_or("num_key_value_heads", c.heads);
  c.head_dim = r.count_or("head_dim", c.hidden_size / c.heads);
  c.intermediate_size = r.count("intermediate_size");
  c.max_positions = r.count_or("max_position_embeddings", 2048);
  c.norm_eps = r.value_or("rms_norm_eps", 1e-6f);
  c.activation = r.activation("hidden_act", "silu");
  c.qk_norm = family.qk_norm;
  const bool bias = r.value_or("attention_bias", false);
  c.qkv_bias = family.qkv_bias || bias;
  c.attention_output_bias = family.output_bias && bias;
  c.mlp_bias = r.value_or("mlp_bias", false);
  c.tied_head = r.value_or("tie_word_embeddings", false);
  if (family.window && r.value_or("use_sliding_window", family.model_type == "mistral")) {
    c.window = r.count_or("sliding_window", 0);
  }
  if (family.ngrams) {
    c.ngram_order = r.count_or("ngram_order", 0);
    c.ngram_buckets = r.count_or("ngram_buckets", 0);
  }
  c.rope.theta = r.value_or("rope_theta", 10000.0);
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = find_field(r.json(), field);
    if (rope == nullptr || rope->is_null()) continue;
    if (!rope->is_object()) r.fail(field, "expected an object");
    c.rope.theta = get_or<double>(*rope, "rope_theta", file, c.rope.theta);
    read_rope_scaling(*rope, r, file, c);
    break;
  }
  return c;
}

Json rope_to_json(const TransformerConfig& c) {
  using Kind = ops::RopeScaling::Kind;
  const ops::RopeScaling& s = c.rope.scaling;
  Json json = {{"rope_theta", c.rope.theta}, {"rope_type", "default"}};
  if (s.kind == Kind::none) return json;
  json["factor"] = s.factor;
  json["original_max_position_embeddings"] = s.original_max_position;
  switch (s.kind) {
    case Kind::linear:
      json["rope_type"] = "linear";
      break;
    case Kind::dynamic_ntk:
      json["rope_type"] = "dynamic";
      break;
    case Kind::llama3:
      json["rope_type"] = "llama3";
      json["low_freq_factor"] = s.low_freq_factor;
      json["high_freq_factor"] = s.high_freq_factor;
      break;
    case Kind::yarn:
      json["rope_type"] = "yarn";
      json["beta_fast"] = s.beta_fast;
      json["beta_slow"] = s.beta_slow;
      json["truncate"] = s.truncate;
      if (s.attention_factor > 0) json["attention_factor"] = s.attention_factor;
      break;
    case Kind::none:
      break;
  }
  return json;
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
  const Family* family = nullptr;
  std::vector<std::string> known = {"gpt2"};
  for (const Family& f : kFamilies) {
    known.emplace_back(f.model_type);
    if (f.model_type == type) family = &f;
  }
  if (type == "gpt2") {
    config = read_gpt2(reader);
  } else if (family) {
    config = read_llama_like(reader, *family, file);
  } else {
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
            {"layer_norm_epsilon", c.norm_eps},
            {"activation_function", activation_name(c.activation)},
            {"tie_word_embeddings", c.tied_head}};
  }
  const Family* family = nullptr;
  for (const Family& f : kFamilies) {
    if (f.model_type == c.model_type) family = &f;
  }
  require<UsageError>(family != nullptr, "model.family: \"{}\" has no config.json", c.model_type);
  const Json rope = rope_to_json(c);
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
               {"rms_norm_eps", c.norm_eps},
               {"hidden_act", activation_name(c.activation)},
               {"attention_bias", family->qkv_bias ? false : c.qkv_bias},
               {"mlp_bias", c.mlp_bias},
               {"tie_word_embeddings", c.tied_head},
               {"rope_theta", c.rope.theta},
               {"rope_parameters", rope}};
  if (c.rope.scaling.kind != ops::RopeScaling::Kind::none) json["rope_scaling"] = rope;
  if (family->ngrams) {
    json["ngram_order"] = c.ngram_order;
    json["ngram_buckets"] = c.ngram_buckets;
  }
  if (family->window) {
    json["sliding_window"] = c.window > 0 ? Json(c.window) : Json();
    if (family->model_type != "mistral") json["use_sliding_window"] = c.window > 0;
  }
  return json;
}

}  // namespace stepstone
