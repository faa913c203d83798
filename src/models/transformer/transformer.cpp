#include "models/transformer/transformer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.h"
#include "models/transformer/names.h"
#include "models/transformer/ngrams.h"
#include "ops/activation/activation.h"
#include "ops/add/add.h"
#include "ops/dropout/dropout.h"
#include "ops/embedding/embedding.h"
#include "ops/gated/gated.h"
#include "ops/rotary/rotary.h"
#include "ops/scale/scale.h"

namespace stepstone {

using nn::Parameter;
using nn::Part;
using nn::Role;

namespace {

// Norms, with a bias for LayerNorm.
nn::Norm make_norm(nn::ParameterList& list, const std::string& name,
                   const TransformerConfig& config) {
  Parameter& weight = list.add(name + ".weight", {config.hidden_size}, Role::vector);
  Parameter* bias = nullptr;
  if (config.norm == nn::NormKind::layer) {
    bias = &list.add(name + ".bias", {config.hidden_size}, Role::vector);
  }
  return {config.norm, &weight, bias, config.norm_eps, config.norm_offset};
}

struct LinearParts {
  std::vector<Part> weight, bias;  // no bias: none
};

// `rows` in all, the same number for every name.
LinearParts equal_parts(const std::string& prefix, const std::vector<std::string>& names,
                        std::int64_t rows, bool bias) {
  LinearParts parts;
  const std::int64_t each = rows / static_cast<std::int64_t>(names.size());
  for (const std::string& name : names) {
    parts.weight.push_back({prefix + name + ".weight", each});
    if (bias) parts.bias.push_back({prefix + name + ".bias", each});
  }
  return parts;
}

nn::Linear make_linear(nn::ParameterList& list, LinearParts parts, std::int64_t in, Role role,
                       bool transposed) {
  std::int64_t rows = 0;
  for (const Part& part : parts.weight) rows += part.rows;
  const std::string name = parts.weight.front().name;
  Parameter& weight = list.add(name, {rows, in}, role, std::move(parts.weight), transposed);
  Parameter* bias = nullptr;
  if (!parts.bias.empty()) {
    const std::string bias_name = parts.bias.front().name;
    bias = &list.add(bias_name, {rows}, Role::vector, std::move(parts.bias));
  }
  return {&weight, bias};
}

void fill_normal(const Tensor& t, double std, std::uint64_t seed, std::uint64_t stream) {
  Random random(seed, stream);
  for (float& x : t.span<float>()) x = static_cast<float>(std * random.normal());
}

}  // namespace

Transformer::Transformer(TransformerConfig config, nn::Values values)
    : config_(std::move(config)), parameters_(values) {
  config_.validate();
  const TensorNames names = tensor_names(config_);
  const std::int64_t d = config_.hidden_size;
  embedding_ =
      &parameters_.add(names.embedding + ".weight", {config_.vocab_size, d}, Role::embedding);
  for (std::int64_t n = 2; n <= config_.ngram_order; ++n) {
    ngrams_.push_back(&parameters_.add(fmt::format("model.embed_ngrams.{}.weight", n),
                                       {config_.ngram_buckets, d}, Role::embedding));
  }
  if (config_.position == PositionKind::learned) {
    positions_ =
        &parameters_.add(names.positions + ".weight", {config_.max_positions, d}, Role::embedding);
  }
  for (std::int64_t i = 0; i < config_.layers; ++i) blocks_.push_back(make_block(i, names));
  final_norm_ = make_norm(parameters_, names.final_norm, config_);
  if (!config_.tied_head) {
    head_ = &parameters_.add(names.head + ".weight", {config_.vocab_size, d}, Role::head);
  }
}

Transformer::Block Transformer::make_block(std::int64_t layer, const TensorNames& names) {
  const TransformerConfig& c = config_;
  const std::string prefix = names.layer + std::to_string(layer) + ".";
  const std::int64_t d = c.hidden_size, ff = c.intermediate_size;
  Block block;
  block.rotary = rotary_config(layer);
  block.attention = attention_config(layer);
  block.attention_norm = make_norm(parameters_, prefix + names.attention_norm, c);
  LinearParts qkv = {qkv_parts(c, names, prefix, ".weight"), {}};
  if (c.qkv_bias) qkv.bias = qkv_parts(c, names, prefix, ".bias");
  block.qkv = make_linear(parameters_, std::move(qkv), d, Role::matrix, names.transposed);
  if (c.qk_norm) {
    block.q_norm = &parameters_.add(prefix + "self_attn.q_norm.weight", {c.head_dim}, Role::vector);
    block.k_norm = &parameters_.add(prefix + "self_attn.k_norm.weight", {c.head_dim}, Role::vector);
  }
  block.attention_output = make_linear(
      parameters_, equal_parts(prefix, {names.attention_output}, d, c.attention_output_bias),
      c.heads * c.head_dim, Role::residual_matrix, names.transposed);
  if (c.post_norms) {
    block.attention_post_norm = make_norm(parameters_, prefix + names.attention_post_norm, c);
  }
  block.mlp_norm = make_norm(parameters_, prefix + names.mlp_norm, c);
  block.up =
      make_linear(parameters_, equal_parts(prefix, names.up, c.gated ? 2 * ff : ff, c.mlp_bias), d,
                  Role::matrix, names.transposed);
  block.down = make_linear(parameters_, equal_parts(prefix, {names.down}, d, c.mlp_bias), ff,
                           Role::residual_matrix, names.transposed);
  if (c.post_norms) block.mlp_post_norm = make_norm(parameters_, prefix + names.mlp_post_norm, c);
  return block;
}

void Transformer::initialize(const InitOptions& options) {
  std::uint64_t stream = 0;
  const double residual_scale = 1 / std::sqrt(2.0 * static_cast<double>(config_.layers));
  for (Parameter& p : parameters_) {
    ++stream;
    const Tensor& w = p.var.value();
    const double fan_in = std::sqrt(static_cast<double>(w.cols()));
    const bool classic = options.matrix_gain == 0;
    double std = 0;
    switch (p.role) {
      case Role::vector: {
        const bool ones = p.name.ends_with(".weight");
        for (float& x : w.span<float>()) x = ones ? 1 - config_.norm_offset : 0.0f;
        continue;
      }
      case Role::embedding:
        std = options.embedding_std;
        break;
      case Role::matrix:
        std = classic ? 0.02 : options.matrix_gain / fan_in;
        break;
      case Role::residual_matrix:
        std = classic ? 0.02 * residual_scale : options.residual_gain / fan_in;
        break;
      case Role::head:
        std = classic ? 0.02 : options.head_gain / fan_in;
        break;
    }
    fill_normal(w, std, options.seed, stream);
  }
}

Var Transformer::embed(Graph& graph, const TokenBatch& batch,
                       std::span<const std::span<const std::int32_t>> histories) const {
  Var x = embedding_blocks_.rows > 0 ? ops::embedding(graph, embedding_blocks_, batch.tokens)
                                     : ops::embedding(graph, embedding_->var, batch.tokens);
  if (config_.embedding_scale != 1) x = ops::scale(graph, x, config_.embedding_scale);
  if (positions_) x = ops::add(graph, x, ops::embedding(graph, positions_->var, batch.positions));
  for (std::size_t n = 0; n < ngrams_.size(); ++n) {
    std::vector<std::int32_t> ids;
    for (std::size_t s = 0; s + 1 < batch.segments.size(); ++s) {
      const auto first = static_cast<std::size_t>(batch.segments[s]);
      const auto last = static_cast<std::size_t>(batch.segments[s + 1]);
      append_ngram_ids(histories.empty() ? std::span<const std::int32_t>() : histories[s],
                       batch.tokens.subspan(first, last - first), static_cast<std::int64_t>(n) + 2,
                       config_.vocab_size, config_.ngram_buckets, ids);
    }
    x = ops::add(graph, x, ops::embedding(graph, ngrams_[n]->var, ids));
  }
  return ops::dropout(graph, x, config_.dropout);
}

template <typename Attend>
Var Transformer::run_block(Graph& graph, const Block& block, const Var& x,
                           std::span<const std::int32_t> positions, Attend&& attend,
                           Rows rows) const {
  Var qkv = block.qkv(graph, block.attention_norm(graph, x));
  if (config_.position == PositionKind::rotary) {
    const Var q_norm = nn::offset_weight(graph, block.q_norm, config_.norm_offset);
    const Var k_norm = nn::offset_weight(graph, block.k_norm, config_.norm_offset);
    qkv = ops::rotary(graph, qkv, positions, block.rotary, q_norm, k_norm);
  }
  Var attended = attend(qkv);
  Var from = x;
  if (rows) {  // for inference: no gradient comes back through this
    attended = Var(gather_rows(attended.value(), *rows));
    from = Var(gather_rows(x.value(), *rows));
  }
  attended = block.attention_output(graph, attended);
  if (block.attention_post_norm) attended = (*block.attention_post_norm)(graph, attended);
  const Var middle = ops::add(graph, from, ops::dropout(graph, attended, config_.dropout));
  const Var up = block.up(graph, block.mlp_norm(graph, middle));
  const Var active = config_.gated ? ops::gated(graph, up, config_.activation)
                                   : ops::activation(graph, up, config_.activation);
  Var out = block.down(graph, active);
  if (block.mlp_post_norm) out = (*block.mlp_post_norm)(graph, out);
  return ops::add(graph, middle, ops::dropout(graph, out, config_.dropout));
}

ops::RotaryConfig Transformer::rotary_config(std::int64_t layer) const {
  ops::RotaryConfig r = config_.rope;
  if (config_.local_theta > 0 && config_.has_window(layer)) {
    r.theta = config_.local_theta;
    r.scaling = {};
  }
  r.heads = config_.heads;
  r.kv_heads = config_.kv_heads;
  r.head_dim = config_.head_dim;
  if (r.rotary_dim == 0) r.rotary_dim = config_.head_dim;
  r.norm_eps = config_.norm_eps;
  return r;
}

ops::AttentionConfig Transformer::attention_config(std::int64_t layer) const {
  ops::AttentionConfig a;
  a.heads = static_cast<int>(config_.heads);
  a.kv_heads = static_cast<int>(config_.kv_heads);
  a.head_dim = static_cast<int>(config_.head_dim);
  a.scale = config_.attention_scale;
  a.window = config_.has_window(layer) ? config_.window : 0;
  a.softcap = config_.attention_softcap;
  return a;
}

Var Transformer::hidden(Graph& graph, const TokenBatch& batch, bool checkpoint_blocks) const {
  require<UsageError>(batch.tokens.size() == batch.positions.size(),
                      "transformer: {} tokens but {} positions", batch.tokens.size(),
                      batch.positions.size());
  Var x = embed(graph, batch, {});
  for (const Block& block : blocks_) {
    const auto run = [this, &block, batch](Graph& g, std::span<const Var> in) {
      return run_block(g, block, in[0], batch.positions, [&](const Var& qkv) {
        return ops::attention(g, qkv, batch.segments, block.attention);
      });
    };
    x = checkpoint_blocks ? graph.checkpoint(run, {x}) : run(graph, std::span(&x, 1));
  }
  return final_norm_(graph, x);
}

Var Transformer::hidden(Graph& graph, std::span<const std::int32_t> tokens, KvCache& cache,
                        Rows rows) const {
  const std::int32_t segments[] = {0, static_cast<std::int32_t>(tokens.size())};
  KvCache* const caches[] = {&cache};
  return hidden(graph, tokens, segments, caches, rows);
}

Var Transformer::hidden(Graph& graph, std::span<const std::int32_t> tokens,
                        std::span<const std::int32_t> segments, std::span<KvCache* const> caches,
                        Rows rows) const {
  require<UsageError>(segments.size() == caches.size() + 1 && segments.front() == 0 &&
                          segments.back() == static_cast<std::int32_t>(tokens.size()) &&
                          std::ranges::is_sorted(segments),
                      "transformer: segments do not fit {} tokens and {} caches", tokens.size(),
                      caches.size());
  std::vector<std::int32_t> positions(tokens.size());
  for (std::size_t s = 0; s < caches.size(); ++s) {
    std::iota(positions.begin() + segments[s], positions.begin() + segments[s + 1],
              static_cast<std::int32_t>(caches[s]->length()));
    caches[s]->reserve(segments[s + 1] - segments[s]);
  }
  std::vector<ops::CachedSequence> sequences(caches.size());
  std::vector<std::span<const std::int32_t>> histories;
  for (const KvCache* cache : caches) histories.emplace_back(cache->tokens());
  Var x = embed(graph, {tokens, positions, segments}, histories);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    for (std::size_t s = 0; s < caches.size(); ++s) {
      sequences[s] = caches[s]->layer(i);
    }
    const auto attend = [&](const Var& qkv) {
      return Var(
          ops::attention_cached(graph, qkv.value(), segments, sequences, blocks_[i].attention));
    };
    const bool last = i + 1 == blocks_.size();
    x = run_block(graph, blocks_[i], x, positions, attend, last ? rows : Rows());
  }
  for (std::size_t s = 0; s < caches.size(); ++s) {
    const auto begin = static_cast<std::size_t>(segments[s]);
    caches[s]->append(tokens.subspan(begin, static_cast<std::size_t>(segments[s + 1]) - begin));
  }
  return final_norm_(graph, x);
}

Var Transformer::loss(Graph& graph, const Var& hidden, std::span<const std::int32_t> targets,
                      ops::HeadLossConfig options) const {
  options.softcap = config_.logit_softcap;
  return ops::head_loss(graph, hidden, (head_ ? head_ : embedding_)->var, targets, options);
}

Tensor Transformer::logits(Graph& graph, const Tensor& hidden) const {
  if (packed_head_.bytes() > 0) {
    return ops::head_logits(graph, hidden, packed_head_, config_.logit_softcap);
  }
  return ops::head_logits(graph, hidden, (head_ ? head_ : embedding_)->var.value(),
                          config_.logit_softcap);
}

void Transformer::pack(DType compute) {
  if (packed_head_.bytes() == 0) {
    packed_head_ = nn::packed_weight((head_ ? head_ : embedding_)->var.value(), compute);
    if (head_) head_->var = {};
  }
  for (Block& b : blocks_) {
    for (nn::Linear* l : {&b.qkv, &b.attention_output, &b.up, &b.down}) l->pack(compute);
  }
}

void Transformer::pack_blocks() {
  packed_head_.pack_all();
  for (Block& b : blocks_) {
    for (nn::Linear* l : {&b.qkv, &b.attention_output, &b.up, &b.down}) l->pack_all();
  }
}

std::size_t Transformer::packed_bytes() const {
  std::size_t bytes = packed_head_.bytes();
  for (const Block& b : blocks_) {
    for (const nn::Linear* l : {&b.qkv, &b.attention_output, &b.up, &b.down}) {
      bytes += l->packed_bytes();
    }
  }
  return bytes;
}

bool Transformer::multiplies(const Parameter& p) const {
  return &p == embedding_ || &p == head_ || std::ranges::any_of(blocks_, [&](const Block& b) {
    return &p == b.qkv.weight() || &p == b.attention_output.weight() || &p == b.up.weight() ||
           &p == b.down.weight();
  });
}

void Transformer::set_matrix(Parameter& matrix, const Tensor& values, DType compute) {
  require<UsageError>(values.shape() == matrix.shape, "transformer: {}: {} values for {}",
                      matrix.name, to_string(values.shape()), to_string(matrix.shape));
  const bool embeds = &matrix == embedding_;
  matrix.var = {};
  if (embeds) {
    // A copy: nobody changes what is in memory by writing to a file.
    const Tensor table = values.clone();
    embedding_blocks_ = {};
    if (table.dtype() == DType::f32) {
      matrix.var = Var(table);
    } else {
      const BlockType type = table.dtype() == DType::bf16 ? BlockType::bf16 : BlockType::f16;
      embedding_blocks_ = {type, table.raw_bytes(), table.rows(), table.cols(),
                           std::make_shared<const Tensor>(table)};
    }
  }
  if (!embeds || !head_) set_packed(matrix, nn::packed_weight(values, compute));
}

void Transformer::set_blocks(Parameter& matrix, std::span<const cpu::BlockRows> parts,
                             cpu::BlockSource source) {
  const std::int64_t k = matrix.shape.dim(1);
  matrix.var = {};
  if (&matrix == embedding_) {
    require<UsageError>(parts.size() == 1, "transformer: an embedding of {} parts", parts.size());
    embedding_blocks_ = {parts[0].type, parts[0].blocks, matrix.shape.dim(0), k, source.owner};
    if (head_) return;
  }
  set_packed(matrix, cpu::pack_blocks(parts, k, std::move(source)));
}

void Transformer::set_packed(const Parameter& matrix, cpu::PackedMatrix packed) {
  require<UsageError>(packed.n() == matrix.shape.dim(0), "transformer: {} rows for {}", packed.n(),
                      to_string(matrix.shape));
  if (&matrix == embedding_ || &matrix == head_) {
    packed_head_ = std::move(packed);
    return;
  }
  for (Block& b : blocks_) {
    for (nn::Linear* l : {&b.qkv, &b.attention_output, &b.up, &b.down}) {
      if (l->weight() == &matrix) return l->set(std::move(packed));
    }
  }
  throw UsageError(fmt::format("transformer: {} is no matrix of a product", matrix.name));
}

}  // namespace stepstone
