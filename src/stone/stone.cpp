#include "stone/stone.h"

#include <cstring>
#include <map>
#include <set>

#include "core/version.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/safetensors.h"
#include "stone/end_tokens.h"
#include "stone/finite_weights.h"
#include "stone/gguf_config.h"
#include "stone/gguf_model.h"
#include "stone/gguf_tokenizer.h"
#include "stone/model_file.h"

namespace stepstone {
namespace {

constexpr const char* kAboutName = "stepstone.json";

// Rows and columns swapped.
Tensor transposed(const Tensor& t) {
  const std::int64_t rows = t.rows(), cols = t.cols();
  Tensor out = Tensor::empty({cols, rows}, t.dtype());
  const auto swap = [&](const auto* from, auto* to) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
    }
  };
  if (t.dtype() == DType::f32) {
    swap(t.data<float>(), out.data<float>());
  } else {  // halves of either kind
    swap(static_cast<const std::uint16_t*>(t.raw()), static_cast<std::uint16_t*>(out.raw()));
  }
  return out;
}

// Rows of each tensor in the file, of which a parameter may take some in another order.
std::map<std::string, std::int64_t> rows_in_file(const nn::Parameter& p) {
  std::map<std::string, std::int64_t> rows;
  for (const nn::Part& part : p.parts) rows[part.name] += part.rows;
  return rows;
}

Shape with_rows(const Shape& shape, std::int64_t rows) {
  std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims[0] = rows;
  return Shape(dims);
}

// The tensor as it is wanted: f32, bf16 or f16, rows first, every value a number.
Tensor source_of(const nn::Parameter& p, const std::string& name, std::int64_t rows,
                 const TensorMap& tensors, const std::string& file) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) throw FormatError(file, name, "tensor is missing");
  Tensor source = it->second;
  if (source.dtype() != DType::f32 && source.dtype() != DType::bf16 &&
      source.dtype() != DType::f16) {
    throw FormatError(file, name, "expected a floating-point tensor");
  }
  const Shape wanted = with_rows(p.shape, rows);
  const bool flip = p.transposed && source.rank() == 2;
  const Shape expected = flip ? Shape{wanted.dim(1), wanted.dim(0)} : wanted;
  if (!(source.shape() == expected)) {
    throw FormatError(
        file, name,
        fmt::format("expected shape {}, got {}", to_string(expected), to_string(source.shape())));
  }
  require_finite(source, file, name);
  return flip ? transposed(source) : source;
}

void verify_files(const std::filesystem::path& folder, const Json& about) {
  const std::string file = (folder / kAboutName).string();
  const Json files = get<Json>(about, "files", file);
  require(files.is_object(), "{}: files: expected an object", file);
  for (const auto& [name, entry] : files.items()) {
    require(name.find('/') == std::string::npos && name.front() != '.', "{}: files: bad name {}",
            file, name);
    const auto path = folder / name;
    if (!std::filesystem::exists(path)) {
      throw FormatError(path.string(), "file", "is missing, but stepstone.json lists it");
    }
    const auto expected = get<std::string>(entry, "xxh3", file);
    if (hash_file(path).hex() != expected) {
      throw FormatError(path.string(), "content",
                        "does not have the hash that stepstone.json records: the file was changed "
                        "or its writing was cut short; resume the run, or remove stepstone.json to "
                        "use the folder as it is");
    }
  }
}

Json generation_config(const Tokenizer& tokenizer, const std::vector<std::int32_t>& named_ends) {
  Json json = {{"do_sample", true}, {"temperature", 1.0}};
  if (tokenizer.bos()) json["bos_token_id"] = *tokenizer.bos();
  const auto ends = end_tokens(tokenizer, named_ends);
  if (!ends.empty()) json["eos_token_id"] = ends.size() == 1 ? Json(ends[0]) : Json(ends);
  if (tokenizer.pad()) json["pad_token_id"] = *tokenizer.pad();
  return json;
}

}  // namespace

TensorMap to_tensors(const Transformer& model) {
  TensorMap tensors;
  for (const nn::Parameter& p : model.parameters()) {
    const Tensor& value = p.var.value();
    const auto rows = rows_in_file(p);
    std::int64_t begin = 0;
    for (const nn::Part& part : p.parts) {
      const Tensor slice = value.slice(begin, begin + part.rows);
      begin += part.rows;
      Tensor& tensor = tensors[part.name];
      if (rows.at(part.name) == part.rows) {
        tensor = p.transposed && slice.rank() == 2 ? transposed(slice) : slice;
        continue;
      }
      if (!tensor.defined()) {
        tensor = Tensor::empty(with_rows(value.shape(), rows.at(part.name)), DType::f32);
      }
      tensor.slice(part.first, part.first + part.rows).copy_from(slice);
    }
  }
  return tensors;
}

void load_tensors(Transformer& model, const TensorMap& tensors, const std::string& file,
                  Weights weights, DType compute) {
  std::set<std::string> known;
  for (nn::Parameter& p : model.parameters()) {
    TensorMap sources;
    for (const auto& [name, rows] : rows_in_file(p)) {
      sources[name] = source_of(p, name, rows, tensors, file);
      known.insert(name);
    }
    std::vector<Tensor> parts;
    for (const nn::Part& part : p.parts) {
      parts.push_back(sources.at(part.name).slice(part.first, part.first + part.rows));
    }
    set_values(model, p, parts, weights, compute);
    for (const auto& [name, source] : sources) forget_mapped(tensors.at(name).raw_bytes());
  }
  for (const auto& [name, tensor] : tensors) {
    // Buffers that old exports carry; a tied head is a second copy of the embedding.
    const bool harmless =
        name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
        name.ends_with("rotary_emb.inv_freq") ||
        ((name == "lm_head.weight" || name == "output.weight") && model.config().tied_head);
    if (!known.contains(name) && !harmless) {
      throw FormatError(file, name, "the model of config.json has no such tensor");
    }
  }
}

namespace {

void check_vocabulary(const Stone& stone) {
  const std::int64_t rows = stone.model->config().vocab_size;
  require(stone.tokenizer.vocab_size() <= rows,
          "{}: the tokenizer has {} tokens, the model {} rows", stone.folder.string(),
          stone.tokenizer.vocab_size(), rows);
}

Stone load_gguf_stone(const std::filesystem::path& path, Weights weights) {
  auto file = std::make_shared<const GgufFile>(open_gguf_model(path));
  Stone stone{.folder = path,
              .model = std::make_unique<Transformer>(read_gguf_config(*file), nn::Values::none),
              .tokenizer = read_gguf_tokenizer(*file),
              .chat_template = file->get_or<std::string>("tokenizer.chat_template", ""),
              .about = {},
              .gguf = file};
  load_gguf_tensors(*stone.model, *file, weights);
  check_vocabulary(stone);
  stone.end_tokens =
      end_tokens(stone.tokenizer, read_end_tokens(*file, stone.model->config().vocab_size));
  return stone;
}

// The weights of a body without a head, as GPT-2 was published, lack the first part of each name
// ("transformer.", "model."). Here all have it.
TensorMap with_prefix(TensorMap tensors, const TransformerConfig& config) {
  const std::string embedding = tensor_names(config).embedding + ".weight";
  const std::string prefix = embedding.substr(0, embedding.find('.') + 1);
  if (tensors.contains(embedding) || !tensors.contains(embedding.substr(prefix.size()))) {
    return tensors;
  }
  TensorMap renamed;
  for (auto& [name, tensor] : tensors) {
    const bool is_head = name == "lm_head.weight" || name == "output.weight";
    renamed[is_head ? name : prefix + name] = tensor;
  }
  return renamed;
}

// chat_template.jinja or, as folders had it before, tokenizer_config.json's "chat_template": the
// text or a list of named ones, of which one is "default".
std::string read_chat_template(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "chat_template.jinja")) {
    return read_file(folder / "chat_template.jinja");
  }
  const auto file = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return {};
  const Json config = read_json(file);
  const Json* field = config.is_object() ? find_field(config, "chat_template") : nullptr;
  if (field == nullptr || field->is_null()) return {};
  if (!field->is_array()) return get<std::string>(config, "chat_template", file.string());
  for (const Json& named : *field) {
    if (!named.is_object()) throw FormatError(file.string(), "chat_template", "expected objects");
    if (get<std::string>(named, "name", file.string()) == "default") {
      return get<std::string>(named, "template", file.string());
    }
  }
  return {};
}

std::unique_ptr<Transformer> load_folder_weights(const std::filesystem::path& folder,
                                                 Weights weights, DType compute) {
  const auto path = folder / "config.json";
  auto model = std::make_unique<Transformer>(
      transformer_config_from_json(read_json(path), path.string()), nn::Values::none);
  load_tensors(*model, with_prefix(load_safetensors_folder(folder), model->config()),
               (folder / "model.safetensors").string(), weights, compute);
  trim_allocator();  // copies of the file's tensors, and what a matrix was before it was packed
  return model;
}

}  // namespace

std::unique_ptr<Transformer> load_weights(const std::filesystem::path& path) {
  if (kind_of(path) == FileKind::file) {
    const GgufFile file = open_gguf_model(path);
    auto model = std::make_unique<Transformer>(read_gguf_config(file), nn::Values::none);
    load_gguf_tensors(*model, file);
    return model;
  }
  require_model_folder(path);
  return load_folder_weights(path, Weights::f32, DType::f32);
}

Stone load_stone(const std::filesystem::path& folder, Weights weights) {
  if (kind_of(folder) == FileKind::file) return load_gguf_stone(folder, weights);
  require_model_folder(folder);
  Stone stone{.folder = folder,
              .model = {},
              .tokenizer = Tokenizer::bytes(),
              .chat_template = {},
              .about = {},
              .gguf = {}};
  if (std::filesystem::exists(folder / kAboutName)) {
    stone.about = read_json(folder / kAboutName);
    const std::string file = (folder / kAboutName).string();
    const int format = get<int>(stone.about, "format", file);
    if (format != 1) {
      throw FormatError(file, "format", fmt::format("expected 1, got {}", format));
    }
    verify_files(folder, stone.about);
    if (get_or<std::string>(stone.about, "compute", file, "f32") == "bf16") {
      stone.compute = DType::bf16;
    }
  }
  stone.model = load_folder_weights(folder, weights, stone.compute);
  stone.tokenizer = Tokenizer::load(folder);
  check_vocabulary(stone);
  stone.end_tokens =
      end_tokens(stone.tokenizer, read_end_tokens(folder, stone.model->config().vocab_size));
  stone.chat_template = read_chat_template(folder);
  return stone;
}

void save_stone(const std::filesystem::path& folder, const StoneContent& content) {
  std::filesystem::create_directories(folder);
  Json config = to_json(content.model->config());
  if (content.tokenizer->bos()) config["bos_token_id"] = *content.tokenizer->bos();
  if (content.tokenizer->eos()) config["eos_token_id"] = *content.tokenizer->eos();
  if (content.tokenizer->pad()) config["pad_token_id"] = *content.tokenizer->pad();
  TensorMap tensors = to_tensors(*content.model);
  if (content.dtype == DType::bf16) {
    config["dtype"] = "bfloat16";
    for (auto& [name, tensor] : tensors) tensor = tensor.to(DType::bf16);
  }
  write_safetensors(folder / "model.safetensors", tensors);
  write_file(folder / "config.json", dump_json(config, 2) + "\n");
  write_file(folder / "generation_config.json",
             dump_json(generation_config(*content.tokenizer, content.end_tokens), 2) + "\n");
  content.tokenizer->save(folder);
  std::vector<std::string> names = {"model.safetensors", "config.json", "generation_config.json",
                                    "tokenizer.json", "tokenizer_config.json"};
  if (!content.chat_template.empty()) {
    write_file(folder / "chat_template.jinja", content.chat_template);
    names.push_back("chat_template.jinja");
  }
  Json about = content.about;
  about["format"] = 1;
  about["code"] = {{"version", kVersion}, {"commit", kGitCommit}};
  for (const std::string& name : names) {
    about["files"][name] = {{"bytes", std::filesystem::file_size(folder / name)},
                            {"xxh3", hash_file(folder / name).hex()}};
  }
  write_file(folder / kAboutName, dump_json(about, 2) + "\n");
}

std::string stone_id(const Json& about) {
  const Json* files = about.is_object() ? find_field(about, "files") : nullptr;
  if (files == nullptr || !files->contains("model.safetensors")) return {};
  return get_or<std::string>((*files)["model.safetensors"], "xxh3", kAboutName, "").substr(0, 16);
}

}  // namespace stepstone
