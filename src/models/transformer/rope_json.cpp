#include "models/transformer/rope_json.h"

#include <cmath>

#include "models/transformer/foreign_fields.h"

namespace stepstone {
namespace {

using Kind = ops::RopeScaling::Kind;

constexpr const char* kFull = "full_attention";
constexpr const char* kLocal = "sliding_attention";

void read_longrope(const Json& json, const Json& root, const std::string& file,
                   const TransformerConfig& config, ops::RopeScaling& s) {
  s.kind = Kind::longrope;
  s.original_max_position =
      get_or<std::int64_t>(root, "original_max_position_embeddings", file, s.original_max_position);
  s.length = config.max_positions;
  s.short_factors = get<std::vector<double>>(json, "short_factor", file);
  s.long_factors = get<std::vector<double>>(json, "long_factor", file);
  s.attention_factor = get_or<double>(json, "attention_factor", file, 0);
  const double stretch = static_cast<double>(config.max_positions) /
                         static_cast<double>(std::max<std::int64_t>(s.original_max_position, 1));
  s.factor = get_or<double>(json, "factor", file, stretch);
}

// DeepSeek's way to say the attention factor; 0 where it is not said.
double yarn_attention(const Json& json, const std::string& file) {
  const auto mscale = get_or<double>(json, "mscale", file, 0);
  const auto of_all = get_or<double>(json, "mscale_all_dim", file, 0);
  if (mscale == 0 || of_all == 0) return 0;
  const double stretch = 0.1 * std::log(std::max(1.0, get<double>(json, "factor", file)));
  return (1 + mscale * stretch) / (1 + of_all * stretch);
}

void read_scaling(const Json& json, const Json& root, const std::string& file,
                  const TransformerConfig& config, ops::RopeScaling& s) {
  auto kind = get_or<std::string>(json, "rope_type", file, "");
  if (kind.empty()) kind = get_or<std::string>(json, "type", file, "default");
  if (kind == "default") return;
  s.original_max_position =
      get_or<std::int64_t>(json, "original_max_position_embeddings", file, config.max_positions);
  if (kind == "longrope" || kind == "su") return read_longrope(json, root, file, config, s);
  s.factor = get<double>(json, "factor", file);
  if (kind == "linear") {
    s.kind = Kind::linear;
  } else if (kind == "dynamic") {
    s.kind = Kind::dynamic_ntk;
    s.length = config.max_positions;
  } else if (kind == "llama3") {
    s.kind = Kind::llama3;
    s.low_freq_factor = get<double>(json, "low_freq_factor", file);
    s.high_freq_factor = get<double>(json, "high_freq_factor", file);
  } else if (kind == "yarn") {
    s.kind = Kind::yarn;
    s.beta_fast = get_or<double>(json, "beta_fast", file, 32);
    s.beta_slow = get_or<double>(json, "beta_slow", file, 1);
    s.attention_factor = get_or<double>(json, "attention_factor", file, yarn_attention(json, file));
    s.truncate = get_or<bool>(json, "truncate", file, true);
  } else {
    throw FormatError(file, "rope_scaling", fmt::format("unknown rope_type \"{}\"", kind));
  }
}

void read_rotary_dim(const Json& json, const std::string& file, TransformerConfig& c) {
  const double part = get_or<double>(json, "partial_rotary_factor", file, 1);
  if (!(part > 0 && part <= 1)) {
    throw FormatError(file, "partial_rotary_factor", "is not within 0 to 1");
  }
  if (part < 1) {
    // Rounded down, but not for the last bit of the factor.
    c.rope.rotary_dim = static_cast<std::int64_t>(static_cast<double>(c.head_dim) * part + 1e-6);
  }
}

Json scaling_to_json(const TransformerConfig& c) {
  const ops::RopeScaling& s = c.rope.scaling;
  Json json = {{"rope_theta", c.rope.theta}, {"rope_type", "default"}};
  if (c.rope.rotary_dim > 0) {
    json["partial_rotary_factor"] =
        static_cast<double>(c.rope.rotary_dim) / static_cast<double>(c.head_dim);
  }
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
      break;
    case Kind::longrope:
      json["rope_type"] = "longrope";
      json["short_factor"] = s.short_factors;
      json["long_factor"] = s.long_factors;
      break;
    case Kind::none:
      break;
  }
  if (s.attention_factor > 0) json["attention_factor"] = s.attention_factor;
  return json;
}

// Layers with a window have a base of their own, and nothing else.
void read_local(const Json& local, const std::string& file, const std::string& field,
                TransformerConfig& c) {
  if (!local.is_object()) throw FormatError(file, field, "sliding_attention is not an object");
  refuse_foreign_rope(local, file, field);
  c.local_theta = get<double>(local, "rope_theta", file);
  if (get_or<std::string>(local, "rope_type", file, "default") != "default" ||
      get_or<double>(local, "partial_rotary_factor", file, 1) != 1) {
    throw FormatError(file, field, "sliding_attention has a scaling, which is not known here");
  }
}

void check_theta(double theta, const std::string& file, const char* field) {
  if (!(std::isfinite(theta) && theta > 1)) {
    throw FormatError(file, field, fmt::format("must exceed 1, got {}", theta));
  }
}

}  // namespace

void read_rope(const Json& json, const std::string& file, TransformerConfig& c) {
  c.rope.theta = get_or<double>(json, "rope_theta", file, c.rope.theta);
  c.local_theta = get_or<double>(json, "rope_local_base_freq", file, c.local_theta);
  read_rotary_dim(json, file, c);
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = find_field(json, field);
    if (rope == nullptr || rope->is_null()) continue;
    if (!rope->is_object()) throw FormatError(file, field, "expected an object");
    if (const Json* local = find_field(*rope, kLocal)) {  // one per kind of layer
      read_local(*local, file, field, c);
      rope = find_field(*rope, kFull);
      if (rope == nullptr || !rope->is_object()) {
        throw FormatError(file, field, "full_attention is missing");
      }
    }
    refuse_foreign_rope(*rope, file, field);
    c.rope.theta = get_or<double>(*rope, "rope_theta", file, c.rope.theta);
    if (c.rope.rotary_dim == 0) read_rotary_dim(*rope, file, c);
    read_scaling(*rope, json, file, c, c.rope.scaling);
    break;
  }
  check_theta(c.rope.theta, file, "rope_theta");
  if (c.local_theta != 0) check_theta(c.local_theta, file, "rope_local_base_freq");
}

void write_rope(const TransformerConfig& c, Json& json) {
  const Json rope = scaling_to_json(c);
  json["rope_theta"] = c.rope.theta;
  json["rope_parameters"] = rope;
  if (c.local_theta > 0) {
    const Json local = {{"rope_theta", c.local_theta}, {"rope_type", "default"}};
    json["rope_parameters"] = {{kFull, rope}, {kLocal, local}};
    json["rope_local_base_freq"] = c.local_theta;
  }
  if (c.rope.scaling.kind != Kind::none) json["rope_scaling"] = rope;
  if (c.rope.scaling.kind == Kind::longrope) {
    json["original_max_position_embeddings"] = c.rope.scaling.original_max_position;
  }
  if (c.rope.rotary_dim > 0) json["partial_rotary_factor"] = rope["partial_rotary_factor"];
}

}  // namespace stepstone
