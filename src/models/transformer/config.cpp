#include "models/transformer/config.h"

#include "core/error.h"

namespace stepstone {
namespace {

// Largest extents taken from a file: far above any real model, far below overflow.
constexpr std::int64_t kMaxExtent = std::int64_t{1} << 24;

void in_range(const char* field, std::int64_t value, std::int64_t low, std::int64_t high) {
  require<UsageError>(value >= low && value <= high, "model.{}: expected {} to {}, got {}", field,
                      low, high, value);
}

}  // namespace

void TransformerConfig::validate() const {
  in_range("vocab_size", vocab_size, 1, kMaxExtent);
  in_range("hidden_size", hidden_size, 1, kMaxExtent);
  in_range("layers", layers, 1, 4096);
  in_range("heads", heads, 1, 65536);
  in_range("kv_heads", kv_heads, 1, heads);
  in_range("head_dim", head_dim, 1, 4096);
  in_range("intermediate_size", intermediate_size, 1, kMaxExtent);
  in_range("max_positions", max_positions, 1, kMaxExtent);
  in_range("window", window, 0, kMaxExtent);
  require<UsageError>(ngram_order == 0 || model_type == "stepstone",
                      "model.ngram_order: only the family \"stepstone\" has n-gram embeddings");
  in_range("ngram_order", ngram_order, 0, 8);
  in_range("ngram_buckets", ngram_buckets, ngram_order > 0 ? 1 : 0, kMaxExtent);
  require<UsageError>(heads % kv_heads == 0, "model.kv_heads: {} does not divide {} heads",
                      kv_heads, heads);
  require<UsageError>(position != PositionKind::rotary || head_dim % 2 == 0,
                      "model.head_dim: rotary positions need an even one, got {}", head_dim);
  in_range("rotary_dim", rope.rotary_dim, 0, head_dim);
  require<UsageError>(windowed.empty() || static_cast<std::int64_t>(windowed.size()) == layers,
                      "model.windowed: {} entries for {} layers", windowed.size(), layers);
  for (const float factor : {attention_scale, attention_softcap, logit_softcap, embedding_scale}) {
    require<UsageError>(factor >= 0 && factor <= 1e6f,
                        "model: a scale or soft cap of {} is not within 0 to 1e6", factor);
  }
  require<UsageError>(norm_eps > 0 && norm_eps < 1, "model.norm_eps: expected 0 to 1, got {}",
                      norm_eps);
  require<UsageError>(dropout >= 0 && dropout < 1, "model.dropout: expected 0 to 1, got {}",
                      dropout);
  const double total = static_cast<double>(parameters());
  require<UsageError>(total < 1e12, "model: {:.3g} parameters are more than can be addressed",
                      total);
}

std::int64_t TransformerConfig::block_parameters() const {
  const std::int64_t q = heads * head_dim, kv = kv_heads * head_dim, d = hidden_size;
  const std::int64_t norms = (norm == nn::NormKind::layer ? 2 : 1) * d;
  std::int64_t block = d * (q + 2 * kv) + q * d + (gated ? 3 : 2) * d * intermediate_size +
                       (post_norms ? 4 : 2) * norms + (qk_norm ? 2 * head_dim : 0);
  if (qkv_bias) block += q + 2 * kv;
  if (attention_output_bias) block += d;
  if (mlp_bias) block += (gated ? 2 : 1) * intermediate_size + d;
  return layers * block;
}

std::int64_t TransformerConfig::parameters() const {
  const std::int64_t d = hidden_size, norms = (norm == nn::NormKind::layer ? 2 : 1) * d;
  std::int64_t total = block_parameters() + vocab_size * d * (tied_head ? 1 : 2) + norms;
  if (ngram_order > 1) total += (ngram_order - 1) * ngram_buckets * d;
  if (position == PositionKind::learned) total += max_positions * d;
  return total;
}

double TransformerConfig::flops_per_token(std::int64_t context) const {
  const auto d = static_cast<double>(hidden_size);
  const double attention_width = static_cast<double>(heads * head_dim);
  const double block = d * static_cast<double>((heads + 2 * kv_heads) * head_dim) +
                       attention_width * d +
                       (gated ? 3 : 2) * d * static_cast<double>(intermediate_size);
  const double matrices = static_cast<double>(layers) * block + d * static_cast<double>(vocab_size);
  double seen = 0;  // keys per query, summed over the layers
  for (std::int64_t i = 0; i < layers; ++i) {
    seen += static_cast<double>(has_window(i) ? std::min(window, context) : context) / 2;
  }
  return 6 * matrices + 12 * attention_width * seen;
}

}  // namespace stepstone
