#include "stone/gguf_model.h"

#include <algorithm>
#include <set>

#include "ops/rotary/rotary_frequencies.h"
#include "quant/blocks.h"
#include "quant/quantize.h"
#include "stone/finite_weights.h"
#include "stone/gguf_config.h"

namespace stepstone {
namespace {

struct Place {
  std::string base;    // without prefix and suffix
  std::string prefix;  // "model.layers.3." or ""
  std::string suffix;  // ".weight"
  std::int64_t layer = 0;
};

Place place_of(const std::string& name, const TensorNames& names) {
  Place p;
  const auto dot = name.rfind('.');
  p.suffix = name.substr(dot);
  p.base = name.substr(0, dot);
  if (!p.base.starts_with(names.layer)) return p;
  const auto end = p.base.find('.', names.layer.size());
  p.layer = std::stoll(p.base.substr(names.layer.size(), end - names.layer.size()));
  p.prefix = p.base.substr(0, end + 1);
  p.base = p.base.substr(end + 1);
  return p;
}

// Row r of the file's heads is row file_row(r) of ours: pairs (i, i + d/2) beside each other there.
std::int64_t our_row(std::int64_t r, std::int64_t rows, std::int64_t heads) {
  const std::int64_t d = rows / heads, i = r % d;
  return r - i + (i % 2 == 0 ? i / 2 : d / 2 + i / 2);
}

// For every row that is wanted, ours or the file's, the other's row. Empty: the same order.
std::vector<std::int64_t> row_order(const GgufPart& part, bool to_file) {
  std::vector<std::int64_t> order(part.paired_heads > 0 ? static_cast<std::size_t>(part.rows) : 0);
  for (std::int64_t r = 0; r < std::ssize(order); ++r) {
    const std::int64_t ours = our_row(r, part.rows, part.paired_heads);
    to_file ? order[static_cast<std::size_t>(r)] = ours : order[static_cast<std::size_t>(ours)] = r;
  }
  return order;
}

// A tensor of ours as the file has it, or back. With an offset: f32.
Tensor reordered(const Tensor& t, const GgufPart& part, bool to_file) {
  Tensor out = t;
  if (part.paired_heads > 0) {
    const Tensor matrix = t.reshape({part.rows, t.numel() / part.rows});
    out = gather_rows(matrix, row_order(part, to_file)).reshape(t.shape());
  }
  if (part.offset == 0) return out;
  out = out.clone();
  for (float& v : out.span<float>()) v += to_file ? part.offset : -part.offset;
  return out;
}

TensorKind kind_of_part(const std::string& base, bool matrix) {
  if (!matrix || base == "position_embd") return TensorKind::vector;
  if (base == "token_embd") return TensorKind::embedding;
  if (base == "output") return TensorKind::head;
  if (base == "attn_qkv") return TensorKind::attention_qkv;
  if (base == "attn_v") return TensorKind::attention_value;
  if (base == "attn_output") return TensorKind::attention_output;
  if (base == "ffn_down") return TensorKind::down;
  return TensorKind::other_matrix;
}

// Names that are translated one to one.
std::string translated(const std::string& base, const TensorNames& from, const TensorNames& to) {
  const std::pair<const std::string*, const std::string*> pairs[] = {
      {&from.embedding, &to.embedding},
      {&from.positions, &to.positions},
      {&from.final_norm, &to.final_norm},
      {&from.head, &to.head},
      {&from.attention_norm, &to.attention_norm},
      {&from.mlp_norm, &to.mlp_norm},
      {&from.attention_post_norm, &to.attention_post_norm},
      {&from.mlp_post_norm, &to.mlp_post_norm},
      {&from.attention_output, &to.attention_output},
      {&from.down, &to.down},
  };
  for (const auto& [ours, theirs] : pairs) {
    if (*ours == base) return *theirs;
  }
  if (base == "self_attn.q_norm") return "attn_q_norm";
  if (base == "self_attn.k_norm") return "attn_k_norm";
  throw UsageError(fmt::format("gguf: tensor {} has no name there", base));
}

// Factors on the rotation frequencies that the file holds as tensors.
std::vector<std::pair<std::string, std::vector<double>>> rope_tensors(const TransformerConfig& c) {
  using Kind = ops::RopeScaling::Kind;
  const ops::RopeScaling& s = c.rope.scaling;
  if (s.kind == Kind::longrope && s.short_factors == s.long_factors && c.model_type != "phi3") {
    return {{"rope_freqs.weight", s.long_factors}};
  }
  if (s.kind == Kind::longrope) {
    return {{"rope_factors_long.weight", s.long_factors},
            {"rope_factors_short.weight", s.short_factors}};
  }
  if (s.kind != Kind::llama3) return {};
  const std::int64_t d = c.rope.rotary_dim > 0 ? c.rope.rotary_dim : c.head_dim;
  const auto scaled = ops::rope_frequencies({d, c.rope.theta, s}).inverse;
  const auto plain = ops::rope_frequencies({d, c.rope.theta, {}}).inverse;
  std::vector<double> f;
  for (std::size_t i = 0; i < plain.size(); ++i) f.push_back(double{plain[i]} / scaled[i]);
  return {{"rope_freqs.weight", f}};
}

void check_tensor(const GgufFile& file, const GgufPart& part, const Shape& whole) {
  if (!file.contains(part.name)) throw FormatError(file.file(), part.name, "tensor is missing");
  std::vector<std::int64_t> dims(whole.dims().begin(), whole.dims().end());
  dims[0] = part.rows;
  const Shape expected(dims);
  const Shape& shape = file.info(part.name).shape;
  if (!(shape == expected)) {
    throw FormatError(file.file(), part.name + ".shape",
                      fmt::format("expected {}, got {}", to_string(expected), to_string(shape)));
  }
}

void load_values(Transformer& model, nn::Parameter& p, std::span<const GgufPart> parts,
                 const GgufFile& file, Weights weights) {
  std::vector<Tensor> sources;
  for (const GgufPart& part : parts) {
    Tensor source = file.tensor(part.name);
    if (part.offset != 0 && source.dtype() != DType::f32) source = source.to(DType::f32);
    require_finite(source, file.file(), part.name);
    sources.push_back(reordered(source, part, false));
  }
  set_values(model, p, sources, weights, DType::f32);
}

// What keeps blocks: the file, or copies of those that lie at odd addresses there.
struct BlockOwner {
  std::shared_ptr<const void> file;
  std::vector<std::vector<std::byte>> copies;
};

void set_blocks(Transformer& model, nn::Parameter& p, std::span<const GgufPart> parts,
                const GgufFile& file) {
  std::vector<cpu::BlockRows> rows;
  std::vector<std::vector<std::int64_t>> orders(parts.size());
  std::vector<std::span<const std::byte>> read;
  const auto owner = std::make_shared<BlockOwner>();
  owner->file = file.keep_alive();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const GgufPart& part = parts[i];
    orders[i] = row_order(part, false);
    std::span<const std::byte> blocks = file.data(part.name);
    if (reinterpret_cast<std::uintptr_t>(blocks.data()) % alignof(Half) != 0) {
      blocks = owner->copies.emplace_back(blocks.begin(), blocks.end());
    }
    rows.push_back({file.info(part.name).type, blocks, part.rows, orders[i]});
    read.push_back(file.data(part.name));
  }
  model.set_blocks(p, rows, {owner, [read] { std::ranges::for_each(read, forget_mapped); }});
}

std::vector<std::byte> encoded(const Tensor& t, BlockType type) {
  std::vector<std::byte> bytes(bytes_of(type, static_cast<std::uint64_t>(t.numel())));
  quantize(type, t.span<float>(), bytes);
  return bytes;
}

}  // namespace

std::vector<GgufPart> gguf_parts(const TransformerConfig& c, const nn::Parameter& parameter) {
  const TensorNames ours = tensor_names(c), theirs = gguf_names(c);
  const bool paired = gguf_architecture(c).paired_rows;
  const Place place = place_of(parameter.parts.front().name, ours);
  const bool matrix = parameter.shape.rank() == 2;
  const std::string prefix =
      place.prefix.empty() ? "" : fmt::format("{}{}.", theirs.layer, place.layer);
  std::vector<GgufPart> parts;
  const auto add = [&](const std::string& base, std::int64_t rows) {
    GgufPart part{prefix + base + place.suffix, rows, kind_of_part(base, matrix), place.layer};
    if (paired && base == "attn_q") part.paired_heads = c.heads;
    if (paired && base == "attn_k") part.paired_heads = c.kv_heads;
    if (base.ends_with("norm") && place.suffix == ".weight") part.offset = c.norm_offset;
    parts.push_back(std::move(part));
  };
  const std::int64_t rows = parameter.shape.dim(0);
  if (place.base == ours.qkv.front()) {
    const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    if (theirs.qkv.size() == 1) {
      add(theirs.qkv[0], rows);
    } else {
      add(theirs.qkv[0], q);
      add(theirs.qkv[1], kv);
      add(theirs.qkv[2], kv);
    }
  } else if (place.base == ours.up.front()) {
    const auto n = static_cast<std::int64_t>(theirs.up.size());
    for (const std::string& name : theirs.up) add(name, rows / n);
  } else {
    add(translated(place.base, ours, theirs), rows);
  }
  return parts;
}

void load_gguf_tensors(Transformer& model, const GgufFile& file, Weights weights) {
  std::set<std::string> known = {"rope_freqs.weight", "rope_factors_long.weight",
                                 "rope_factors_short.weight"};
  for (nn::Parameter& p : model.parameters()) {
    const std::vector<GgufPart> parts = gguf_parts(model.config(), p);
    for (const GgufPart& part : parts) {
      known.insert(part.name);
      check_tensor(file, part, p.shape);
    }
    const bool blocks =
        weights == Weights::as_stored && std::ranges::all_of(parts, [&](const GgufPart& part) {
          return part.kind != TensorKind::vector &&
                 cpu::has_block_kernel(file.info(part.name).type);
        });
    if (blocks) {
      set_blocks(model, p, parts, file);
    } else {
      load_values(model, p, parts, file, weights);
      for (const GgufPart& part : parts) forget_mapped(file.data(part.name));
    }
  }
  trim_allocator();
  for (const std::string& name : file.names()) {
    if (!known.contains(name)) {
      throw FormatError(file.file(), name, "the model has no such tensor");
    }
  }
}

std::vector<GgufFallback> add_gguf_tensors(const Transformer& model, const Mixture& mixture,
                                           GgufWriter& writer, const std::string& source) {
  const TransformerConfig& c = model.config();
  const auto encoded_part = [source](const Tensor& t, const std::string& name, BlockType type) {
    try {
      return encoded(t, type);
    } catch (const Error& e) {
      throw FormatError(source, name, e.what());
    }
  };
  for (const auto& [name, factors] : rope_tensors(c)) {
    const std::vector<float> values(factors.begin(), factors.end());
    const Tensor t =
        Tensor::from(std::span<const float>(values), {static_cast<std::int64_t>(values.size())});
    writer.add(name, BlockType::f32, t.shape(), [t] { return encoded(t, BlockType::f32); });
  }
  std::vector<GgufFallback> fallbacks;
  for (const nn::Parameter& p : model.parameters()) {
    std::int64_t begin = 0;
    for (const GgufPart& part : gguf_parts(c, p)) {
      const Tensor slice = p.var.value().slice(begin, begin + part.rows);
      begin += part.rows;
      const TensorPlace place{.kind = part.kind,
                              .layer = part.layer,
                              .layers = c.layers,
                              .row = slice.dim(-1),
                              .heads = c.heads,
                              .kv_heads = c.kv_heads,
                              .tied = c.tied_head};
      const BlockType type = mixture.type_of(place), wanted = mixture.wanted(place);
      if (type != wanted) fallbacks.push_back({part.name, place.row, wanted, type});
      writer.add(part.name, type, slice.shape(), [slice, part, type, encoded_part] {
        return encoded_part(reordered(slice, part, true), part.name, type);
      });
    }
  }
  return fallbacks;
}

}  // namespace stepstone
