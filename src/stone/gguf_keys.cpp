#include "stone/gguf_keys.h"

#include <algorithm>
#include <cmath>

namespace stepstone {
namespace {

// They do not take part in the computation, or say again what the tensors show.
constexpr std::string_view kHarmless[] = {
    "vocab_size",
    "tensor_data_layout",
    "decoder_start_token_id",
    "rope.scaling.finetuned",
    "rope.dimension_sections",  // of images: in text all sections have one position
    // The family decides which of the two a norm takes.
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    // Without experts, which expert_count tells, they say nothing.
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "expert_weights_scale",
    "expert_weights_norm",
    "expert_gating_func",
    "expert_group_count",
    "expert_group_used_count",
    "interleave_moe_layer_step",
    "moe_every_n_layers",
    "leading_dense_block_count",
};

// Each changes what is computed, except at this value.
struct Neutral {
  std::string_view key;
  double value, or_else;
};
constexpr Neutral kNeutral[] = {
    {"expert_count", 0, 0},
    {"expert_shared_count", 0, 0},
    {"attn_logit_softcapping", 0, 0},
    {"final_logit_softcapping", 0, 0},
    {"router_logit_softcapping", 0, 0},
    {"logit_scale", 0, 1},
    {"residual_scale", 0, 1},
    {"embedding_scale", 0, 1},
    {"use_parallel_residual", 0, 0},
    {"nextn_predict_layers", 0, 0},
    {"pooling_type", 0, 1},  // of embeddings: none, or the mean, which is what we give
    {"attention.causal", 1, 1},
    {"attention.scale", 0, 0},
    {"attention.output_scale", 0, 1},
    {"attention.max_alibi_bias", 0, 0},
    {"attention.clamp_kqv", 0, 0},
    {"attention.sliding_window", 0, 0},
    {"attention.shared_kv_layers", 0, 0},
    {"attention.temperature_length", 0, 0},
    {"attention.temperature_scale", 0, 0},
    {"attention.q_lora_rank", 0, 0},
    {"attention.kv_lora_rank", 0, 0},
    {"rope.scale_linear", 0, 1},
    {"rope.scaling.factor", 0, 1},
    {"rope.scaling.alpha", 0, 0},
    {"rope.scaling.attn_factor", 1, 1},
    {"rope.scaling.yarn_log_multiplier", 0, 0},
    {"rope.scaling.yarn_ext_factor", 1, -1},
    {"rope.scaling.yarn_attn_factor", 1, 1},
};

bool is_number(const GgufValue& v) { return v.kind != GgufKind::string && !v.array; }

double number(const GgufFile& file, const std::string& key, const GgufValue& v) {
  return v.kind == GgufKind::boolean ? file.get<bool>(key) : file.get<double>(key);
}

}  // namespace

std::int64_t GgufKeys::count(std::string_view key) const {
  const std::string name = asked(key);
  const GgufValue* value = file_.has(name) ? &file_.metadata().find(name)->second : nullptr;
  if (value != nullptr && value->array) {
    const auto each = file_.get<std::vector<std::int64_t>>(name);
    if (each.empty() || std::ranges::count(each, each[0]) != std::ssize(each)) {
      file_.fail(name, "differs between layers, which no known family does");
    }
    return each[0];
  }
  return file_.get<std::int64_t>(name);
}

void GgufKeys::must_be(std::string_view key, std::int64_t expected) const {
  if (!has(key)) return;
  if (const std::int64_t value = count(key); value != expected) {
    fail(key, fmt::format("is {}; only {} is known how to compute here", value, expected));
  }
}

void GgufKeys::must_be_about(std::string_view key, double expected) const {
  if (!has(key)) return;
  const double value = real(key);
  if (!(std::abs(value - expected) <= 1e-5 * std::abs(expected))) {
    fail(key, fmt::format("is {}; only {} is known how to compute here", value, expected));
  }
}

void GgufKeys::check_others() const {
  for (const auto& [name, value] : file_.metadata()) {
    if (!name.starts_with(prefix_)) continue;
    const std::string_view key = std::string_view(name).substr(prefix_.size());
    if (asked_.contains(key) || std::ranges::find(kHarmless, key) != std::end(kHarmless)) continue;
    const auto known = std::ranges::find(kNeutral, key, &Neutral::key);
    if (known == std::end(kNeutral)) {
      file_.fail(name, "is not known here, and may change what the model computes");
    }
    const bool numeric = is_number(value);
    const double number = numeric ? stepstone::number(file_, name, value) : 0;
    if (numeric && (number == known->value || number == known->or_else)) continue;
    file_.fail(name, fmt::format("{} changes what the model computes in a way that is not known "
                                 "here for the architecture {}",
                                 numeric ? fmt::format("{}", number) : "its value",
                                 prefix_.substr(0, prefix_.size() - 1)));
  }
}

}  // namespace stepstone
