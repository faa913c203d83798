#include "train/recipe.h"

#include <cmath>

#include "core/suggest.h"

namespace stepstone {
namespace {

constexpr std::int64_t kBig = std::int64_t{1} << 40;

std::string choice(ConfigTable& t, std::string_view key, std::string_view otherwise,
                   const std::vector<std::string>& choices) {
  std::string value = t.string(key, otherwise);
  for (const std::string& c : choices) {
    if (c == value) return value;
  }
  throw UsageError(fmt::format("{}: expected one of {}, got \"{}\"{}", key,
                               fmt::join(choices, ", "), value, did_you_mean(value, choices)));
}

void read_model(ConfigTable& t, Recipe& r) {
  TransformerConfig& m = r.model;
  m.model_type = choice(t, "model.family", "qwen3",
                        {"qwen3", "llama", "gpt2", "mistral", "qwen2", "stepstone"});
  const bool gpt2 = m.model_type == "gpt2";
  apply_depth(m, t.integer("model.depth", 4, 1, 1024));
  m.layers = t.integer("model.layers", m.layers, 1, 4096);
  m.hidden_size = t.integer("model.hidden_size", m.hidden_size, 1, 1 << 20);
  m.heads = t.integer("model.heads", m.heads, 1, 65536);
  m.kv_heads = t.integer("model.kv_heads", m.heads, 1, 65536);
  m.head_dim =
      t.integer("model.head_dim", std::max<std::int64_t>(1, m.hidden_size / m.heads), 1, 4096);
  const std::int64_t gated = (m.hidden_size * 8 / 3 + 63) / 64 * 64;
  m.intermediate_size =
      t.integer("model.intermediate_size", gpt2 ? 4 * m.hidden_size : gated, 1, 1 << 22);
  m.norm_eps = static_cast<float>(t.real("model.norm_eps", gpt2 ? 1e-5 : 1e-6, 1e-12, 0.1));
  m.tied_head = t.boolean("model.tied_head", gpt2);
  m.dropout = static_cast<float>(t.real("model.dropout", 0, 0, 0.95));
  m.rope.theta = t.real("model.rope_theta", 10000, 1, 1e12);
  m.ngram_order = t.integer("model.ngram_order", 0, 0, 8);
  m.ngram_buckets = t.integer("model.ngram_buckets", m.ngram_order > 0 ? 16384 : 0, 0, 1 << 24);
  m.window = t.integer("model.window", 0, 0, 1 << 24);
  m.qk_norm = m.model_type == "qwen3" || m.model_type == "stepstone";
  if (gpt2) {
    require<UsageError>(m.kv_heads == m.heads && m.head_dim * m.heads == m.hidden_size,
                        "model.kv_heads, model.head_dim: the family gpt2 has as many key heads as "
                        "heads, which together are as wide as the model");
    m.norm = nn::NormKind::layer;
    m.position = PositionKind::learned;
    m.activation = ops::Activation::gelu_tanh;
    m.gated = false;
    m.qkv_bias = m.attention_output_bias = m.mlp_bias = true;
  }
  if (m.model_type == "qwen2") m.qkv_bias = true;
  const std::string activation =
      choice(t, "model.activation", gpt2 ? "gelu" : "silu", {"silu", "gelu", "relu2"});
  m.activation = activation == "silu"   ? ops::Activation::silu
                 : activation == "gelu" ? ops::Activation::gelu_tanh
                                        : ops::Activation::relu2;
  InitOptions& init = r.init;
  init.embedding_std = static_cast<float>(t.real("model.init_embedding_std", 0.02, 0, 10));
  init.matrix_gain = static_cast<float>(t.real("model.init_gain", gpt2 ? 0 : 0.5, 0, 10));
  init.residual_gain = static_cast<float>(t.real("model.init_residual_gain", 0, 0, 10));
  init.head_gain = static_cast<float>(t.real("model.init_head_gain", 0.1, 0, 10));
}

void read_data(ConfigTable& t, Recipe& r) {
  TokenizerRecipe& k = r.tokenizer;
  k.kind = choice(t, "tokenizer.kind", "bpe", {"bpe", "char", "bytes", "file"});
  k.path = t.string("tokenizer.path", "");
  k.vocab_size = t.integer("tokenizer.vocab_size", 4096, 257, 1 << 24);
  k.pattern = choice(t, "tokenizer.pattern", "llama3", {"gpt2", "cl100k", "llama3", "qwen2"});
  require<UsageError>(k.kind != "file" || !k.path.empty(),
                      "tokenizer.path: is needed for tokenizer.kind = \"file\"");
  DataRecipe& d = r.data;
  d.paths = t.strings("data.paths");
  d.weights = t.reals("data.weights", true);
  d.mode = choice(t, "data.mode", "documents", {"documents", "windows"});
  d.val_fraction = t.real("data.val_fraction", 0.05, 0.0001, 0.9);
  d.val_tokens = t.integer("data.val_tokens", 65536, 0, kBig);
}

// The batch that still pays grows about with the 0.4th power of the tokens trained on (Bergsma et
// al. 2025, "Power Lines"); those go with the parameters, so with the cube of the depth: about
// linearly in depth.
constexpr std::int64_t kBatchTokensPerLayer = 1024;

void read_train(ConfigTable& t, Recipe& r) {
  TrainOptions& o = r.train;
  r.context = t.integer("train.context", 256, 1, 1 << 24);
  const std::int64_t default_rows =
      std::max<std::int64_t>(1, kBatchTokensPerLayer * r.model.layers / r.context);
  r.rows = t.integer("train.rows", default_rows, 1, 1 << 20);
  o.accumulate = static_cast<int>(t.integer("train.accumulate", 1, 1, 1 << 20));
  const double per_parameter = t.real("train.tokens_per_parameter", 0, 0, 1e6);
  std::int64_t steps = 1000;
  if (per_parameter > 0) {
    const double tokens = per_parameter * static_cast<double>(r.model.block_parameters());
    steps = std::max<std::int64_t>(
        1, std::llround(tokens / static_cast<double>(r.rows * r.context * o.accumulate)));
  }
  o.schedule.steps = t.integer("train.steps", steps, 1, kBig);
  o.log_every = t.integer("train.log_every", 20, 0, kBig);
  o.eval_every = t.integer("train.eval_every", 100, 0, kBig);
  o.save_every = t.integer("train.save_every", 0, 0, kBig);
  o.save_seconds = 60 * t.real("train.save_minutes", 10, 0, 1e6);
  o.sample_every = t.integer("train.sample_every", 0, 0, kBig);
  r.sample_prompt = t.string("train.sample_prompt", "");
  o.keep_checkpoints = static_cast<int>(t.integer("train.keep_checkpoints", 2, 1, 1000));
  o.seed = static_cast<std::uint64_t>(t.integer("train.seed", 1337, 0, INT64_MAX));
  r.init.seed = o.seed;
  o.compute =
      choice(t, "train.compute", "f32", {"f32", "bf16"}) == "bf16" ? DType::bf16 : DType::f32;
  o.checkpoint_blocks = t.boolean("train.checkpoint_blocks", false);
  o.max_seconds = 60 * t.real("train.minutes", 0, 0, 1e6);
  o.ema = t.real("train.ema", 0, 0, 0.999999);
  o.guard.threshold = t.real("train.spike_threshold", 8, 0, 1e6);
  const auto growth = t.reals("train.batch_growth");
  require<UsageError>(growth.size() % 2 == 0,
                      "train.batch_growth: expected a share of the steps and a factor, one after "
                      "the other, as in [0.5, 2]; got {} numbers",
                      growth.size());
  for (std::size_t i = 0; i < growth.size(); i += 2) {
    require<UsageError>(
        growth[i] >= 0 && growth[i] < 1 && growth[i + 1] >= 1 && growth[i + 1] <= 1e6,
        "train.batch_growth: {} and {} are not a share and a factor", growth[i], growth[i + 1]);
    o.batch_growth.push_back({growth[i], static_cast<int>(growth[i + 1])});
  }
}

void read_optim(ConfigTable& t, Recipe& r) {
  OptimizerConfig& o = r.optim;
  Schedule& s = r.train.schedule;
  o.muon = choice(t, "optim.kind", "muon", {"muon", "adamw"}) == "muon";
  const auto lr = [&](std::string_view key, double otherwise) {
    return static_cast<float>(t.real(key, otherwise, 0, 100));
  };
  scale_learning_rates(o, r.model.hidden_size);
  o.lr = lr("optim.lr", o.muon ? o.lr : 1e-3f);
  o.embedding_lr = lr("optim.embedding_lr", o.embedding_lr);
  o.head_lr = lr("optim.head_lr", o.head_lr);
  o.vector_lr = lr("optim.vector_lr", o.vector_lr);
  const float factor = lr("optim.rate_factor", 1);
  for (float* rate : {&o.lr, &o.embedding_lr, &o.head_lr, &o.vector_lr}) *rate *= factor;
  o.weight_decay = lr("optim.weight_decay", 0);
  o.beta1 = static_cast<float>(t.real("optim.beta1", 0.9, 0, 0.99999));
  o.beta2 = static_cast<float>(t.real("optim.beta2", 0.95, 0, 0.99999));
  o.momentum = static_cast<float>(t.real("optim.momentum", 0.95, 0, 0.9999));
  o.momentum_warmup = static_cast<int>(t.integer("optim.momentum_warmup", 300, 0, 1 << 30));
  o.row_beta2 = static_cast<float>(t.real("optim.row_beta2", 0.95, 0, 0.9999));
  o.iterations = static_cast<int>(t.integer("optim.iterations", 5, 1, 5));
  o.clip = lr("optim.clip", 1.0);
  o.compute = r.train.compute;
  r.train.z_loss = lr("optim.z_loss", 0);
  s.kind = schedule_kind(t.string("optim.schedule", "wsd"));
  s.warmup = t.integer("optim.warmup", 0, 0, kBig);
  s.decay = t.real("optim.decay", 0.4, 0, 1);
  s.final_scale = t.real("optim.final_scale", 0.0, 0, 1);
}

// An override that changes nothing is a mistake of somebody who thinks that it does. In the recipe
// itself such a key stands ready for another choice.
void refuse_idle_overrides(const ConfigTable& t, const Recipe& r, bool shape_is_given,
                           bool steps_are_given) {
  const auto idle = [&](bool when, std::initializer_list<std::string_view> keys, std::string why) {
    for (const std::string_view key : keys) {
      if (when) t.refuse_idle_override(key, why);
    }
  };
  const std::string& kind = r.tokenizer.kind;
  idle(shape_is_given, {"model.depth"}, "the recipe gives layers and hidden_size");
  idle(r.model.model_type == "gpt2", {"model.rope_theta", "model.window"},
       "the family gpt2 has none");
  idle(kind != "bpe", {"tokenizer.vocab_size", "tokenizer.pattern"},
       fmt::format("tokenizer.kind is \"{}\"", kind));
  idle(kind != "file", {"tokenizer.path"}, fmt::format("tokenizer.kind is \"{}\"", kind));
  idle(r.data.mode == "windows", {"data.weights"}, "data.mode is \"windows\"");
  idle(steps_are_given, {"train.tokens_per_parameter"}, "train.steps is given");
  idle(r.train.save_every > 0, {"train.save_minutes"}, "train.save_every is given");
  idle(r.train.sample_every == 0, {"train.sample_prompt"}, "train.sample_every is 0");
  idle(!r.optim.muon,
       {"optim.momentum", "optim.momentum_warmup", "optim.iterations", "optim.row_beta2"},
       "optim.kind is \"adamw\"");
  idle(r.train.schedule.kind != ScheduleKind::wsd, {"optim.decay"},
       "only the schedule wsd has a decay");
  idle(r.train.schedule.kind == ScheduleKind::constant, {"optim.final_scale"},
       "the schedule is constant");
}

}  // namespace

void apply_depth(TransformerConfig& model, std::int64_t depth) {
  model.layers = depth;
  model.hidden_size = 64 * depth;
  model.head_dim = depth <= 4 ? 32 : 64;
  model.heads = model.kv_heads = model.hidden_size / model.head_dim;
}

void scale_learning_rates(OptimizerConfig& optim, std::int64_t width) {
  const auto factor = static_cast<float>(std::sqrt(256.0 / static_cast<double>(width)));
  optim.embedding_lr *= factor;
  optim.head_lr *= factor;
}

Recipe parse_recipe(ConfigTable t, std::string name) {
  Recipe r;
  r.name = std::move(name);
  read_model(t, r);
  read_data(t, r);
  read_train(t, r);
  read_optim(t, r);
  t.refuse_unknown();
  refuse_idle_overrides(t, r, t.has("model.layers") && t.has("model.hidden_size"),
                        t.has("train.steps"));
  r.model.max_positions = r.context;
  r.source = t.to_json();
  return r;
}

Recipe read_recipe(const std::filesystem::path& file, std::span<const std::string> overrides) {
  return parse_recipe(ConfigTable::load(file, overrides), file.stem().string());
}

}  // namespace stepstone
