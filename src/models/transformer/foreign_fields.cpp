#include "models/transformer/foreign_fields.h"

#include <algorithm>
#include <array>

namespace stepstone {
namespace {

// What config_json.cpp and rope_json.cpp read, where the name could raise suspicion.
constexpr std::string_view kRead[] = {"sliding_window",
                                      "sliding_window_pattern",
                                      "use_sliding_window",
                                      "max_window_layers",
                                      "rope_theta",
                                      "rope_scaling",
                                      "rope_parameters",
                                      "rope_local_base_freq",
                                      "partial_rotary_factor",
                                      "attn_logit_softcapping",
                                      "final_logit_softcapping",
                                      "query_pre_attn_scalar"};

// Names that only sound as if they mattered, or matter to training alone.
constexpr std::string_view kHarmless[] = {"_sliding_window_pattern",  // layer_types says it
                                          "reorder_and_upcast_attn", "router_aux_loss_coef",
                                          "output_router_logits",    "norm_topk_prob",
                                          "decoder_sparse_step"};

// Fields with this value or null change nothing.
struct Neutral {
  std::string_view field;
  const char* value;  // JSON
};
constexpr Neutral kNeutral[] = {{"scale_attn_weights", "true"},
                                {"is_causal", "true"},
                                {"position_embedding_type", "\"rope\""},
                                {"rope_type", "\"default\""},
                                {"add_cross_attention", "false"},
                                {"use_bidirectional_attention", "false"},
                                {"use_qk_norm", "false"},
                                {"parallel_attn", "false"},
                                {"use_parallel_residual", "false"},
                                {"num_kv_shared_layers", "0"}};

// The same for every name that has this in it, and for false or nothing.
constexpr Neutral kFragments[] = {
    {"multiplier", "1"}, {"scal", "1"},     {"rotary", "1"},    {"expert", "0"}, {"moe", "0"},
    {"softcap", "0"},    {"alibi", "0"},    {"lora_rank", "0"}, {"clip_", "0"},  {"chunk_", "0"},
    {"window", "null"},  {"rope_", "null"}, {"_rope", "null"}};

template <std::size_t N>
bool contains(const std::string_view (&list)[N], std::string_view name) {
  return std::ranges::find(list, name) != std::end(list);
}

bool is_neutral(const Json& value, const Neutral& neutral) {
  const bool empty = (value.is_array() || value.is_object()) && value.empty();
  return value.is_null() || value == false || empty || value == Json::parse(neutral.value);
}

bool changes_nothing(std::string_view name, const Json& value) {
  if (contains(kHarmless, name)) return true;
  for (const Neutral& known : kNeutral) {
    if (name == known.field) return value.is_null() || value == Json::parse(known.value);
  }
  return std::ranges::all_of(kFragments, [&](const Neutral& f) {
    return name.find(f.field) == std::string_view::npos || is_neutral(value, f);
  });
}

[[noreturn]] void refuse(const std::string& file, const std::string& field, const Json& value) {
  throw FormatError(file, field,
                    fmt::format("{} changes what the model computes in a way that is not known "
                                "here for this family",
                                value.is_structured() ? "its value" : dump_json(value)));
}

// Soft caps and the scale of queries.
bool is_gemmas(std::string_view name) {
  return name.ends_with("_softcapping") || name == "query_pre_attn_scalar";
}

}  // namespace

void refuse_foreign_fields(const Json& json, const std::string& file, const Family* family) {
  for (const auto& [name, value] : json.items()) {
    const bool read =
        family != nullptr && contains(kRead, name) && (family->post_norms || !is_gemmas(name));
    if (!read && !changes_nothing(name, value)) refuse(file, name, value);
  }
}

void refuse_foreign_rope(const Json& rope, const std::string& file, const std::string& field) {
  constexpr std::string_view kKnown[] = {
      "rope_type", "type", "factor", "rope_theta", "partial_rotary_factor",
      "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "beta_fast",
      "beta_slow", "attention_factor", "truncate", "short_factor", "long_factor", "mscale",
      "mscale_all_dim",
      // In text all sections have one position; which run gave the factors is no matter.
      "mrope_section", "finetuned"};
  for (const auto& [name, value] : rope.items()) {
    if (!contains(kKnown, name) && !is_neutral(value, {"", "null"}))
      refuse(file, field + "." + name, value);
  }
}

}  // namespace stepstone
