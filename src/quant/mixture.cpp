#include "quant/mixture.h"

#include <algorithm>

#include "core/error.h"
#include "core/suggest.h"

namespace stepstone {
namespace {

using T = BlockType;

struct Named {
  std::string_view name;
  std::uint32_t file_type;
  T base;
};
constexpr Named kMixtures[] = {
    {"F32", 0, T::f32},      {"F16", 1, T::f16},        {"BF16", 32, T::bf16},
    {"Q8_0", 7, T::q8_0},    {"Q6_K", 18, T::q6_k},     {"Q5_K_M", 17, T::q5_k},
    {"Q5_K_S", 16, T::q5_k}, {"Q5_1", 9, T::q5_1},      {"Q5_0", 8, T::q5_0},
    {"Q4_K_M", 15, T::q4_k}, {"Q4_K_S", 14, T::q4_k},   {"Q4_1", 3, T::q4_1},
    {"Q4_0", 2, T::q4_0},    {"IQ4_NL", 25, T::iq4_nl}, {"MXFP4", 38, T::mxfp4},
    {"Q3_K_L", 13, T::q3_k}, {"Q3_K_M", 12, T::q3_k},   {"Q3_K_S", 11, T::q3_k},
    {"Q2_K", 10, T::q2_k},
};

// Layers whose errors cost most: the first and last eighth, and every third between them.
bool sensitive(const TensorPlace& p) {
  const std::int64_t eighth = p.layers / 8;
  return p.layer < eighth || p.layer >= 7 * p.layers / 8 || (p.layer - eighth) % 3 == 2;
}

T value_type(std::string_view mixture, T base, const TensorPlace& p) {
  const bool shared = p.heads >= 4 * p.kv_heads;  // few value heads: small, and much depends on it
  if (mixture == "Q2_K") return shared ? T::q4_k : T::q3_k;
  if (mixture == "Q3_K_M") return p.layer < 2 ? T::q5_k : T::q4_k;
  if (mixture == "Q3_K_L") return T::q5_k;
  if (mixture == "Q4_K_S") return p.layer < 4 ? T::q5_k : base;
  if (mixture == "Q4_K_M" || mixture == "Q5_K_M") return sensitive(p) ? T::q6_k : base;
  if (mixture == "IQ4_NL" && shared) return T::q5_k;
  return base;
}

T down_type(std::string_view mixture, T base, const TensorPlace& p) {
  if (mixture == "Q2_K") return T::q3_k;
  if (mixture == "Q3_K_M") return p.layer < p.layers / 16 ? T::q5_k : T::q4_k;
  if (mixture == "Q3_K_L") return T::q5_k;
  if (mixture == "Q4_K_M" || mixture == "Q5_K_M") return sensitive(p) ? T::q6_k : base;
  if ((mixture == "Q4_K_S" || mixture == "IQ4_NL") && p.layer < p.layers / 8) return T::q5_k;
  return base;
}

T output_type(std::string_view mixture, T base) {
  if (mixture == "Q2_K") return T::q3_k;
  if (mixture == "Q3_K_M") return T::q4_k;
  if (mixture == "Q3_K_L") return T::q5_k;
  return base;
}

T qkv_type(std::string_view mixture, T base) {
  if (mixture == "Q3_K_M" || mixture == "Q3_K_L") return T::q4_k;
  if (mixture == "Q4_K_M") return T::q5_k;
  if (mixture == "Q5_K_M") return T::q6_k;
  return base;
}

T smaller_blocks(T type) {
  switch (type) {
    case T::q2_k:
    case T::q3_k:
      return T::iq4_nl;
    case T::q4_k:
      return T::q5_0;
    case T::q5_k:
      return T::q5_1;
    case T::q6_k:
      return T::q8_0;
    default:
      return T::f16;
  }
}

bool fits(T type, std::int64_t row) { return row % info_of(type).elements == 0; }

}  // namespace

Mixture Mixture::named(std::string_view name) {
  for (const Named& m : kMixtures) {
    const auto same = [](char a, char b) { return a == (b >= 'a' && b <= 'z' ? b - 32 : b); };
    if (std::ranges::equal(m.name, name, same)) return {m.name, m.file_type, m.base};
  }
  throw UsageError(fmt::format("type: there is no \"{}\"{}; known are {}", name,
                               did_you_mean(name, names()), fmt::join(names(), ", ")));
}

std::vector<std::string> Mixture::names() {
  std::vector<std::string> all;
  for (const Named& m : kMixtures) all.emplace_back(m.name);
  return all;
}

BlockType Mixture::wanted(const TensorPlace& p) const {
  if (p.kind == TensorKind::vector) return T::f32;
  if (info_of(base_).elements == 1) return base_;
  switch (p.kind) {
    case TensorKind::embedding:
      if (!p.tied) return base_;
      [[fallthrough]];
    case TensorKind::head:
      return base_ == T::q8_0 || base_ == T::mxfp4 ? T::q8_0 : T::q6_k;
    case TensorKind::attention_qkv:
      return qkv_type(name_, base_);
    case TensorKind::attention_value:
      return value_type(name_, base_, p);
    case TensorKind::attention_output:
      return output_type(name_, base_);
    case TensorKind::down:
      return down_type(name_, base_, p);
    default:
      return base_;
  }
}

BlockType Mixture::type_of(const TensorPlace& p) const {
  T type = wanted(p);
  while (!fits(type, p.row)) type = smaller_blocks(type);
  return type;
}

}  // namespace stepstone
