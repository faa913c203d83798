// The artefact of a run: a folder in Hugging Face layout that knows where it comes from.
//
//   config.json model.safetensors tokenizer.json tokenizer_config.json generation_config.json
//   chat_template.jinja   (tuned models)
//   stepstone.json        format 1: name, kind, parents, recipe, data, code, seed, scores, and the
//                         size and XXH3-128 of every other file
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/transformer/transformer.h"
#include "stone/gguf_model.h"
#include "stone/set_values.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

struct Stone {
  std::filesystem::path folder;
  std::unique_ptr<Transformer> model;
  Tokenizer tokenizer;
  std::string chat_template;   // Jinja text; empty for a base model
  Json about;                  // stepstone.json; null for a folder from elsewhere
  DType compute = DType::f32;  // what it was trained in: generating in it gives the same bits
  std::vector<std::int32_t> end_tokens = {};  // any of them ends a text (stone/end_tokens.h)
  // The file it was read from, with the quantised tensors (stone/gguf_model.h); null for a folder.
  std::shared_ptr<const GgufFile> gguf = nullptr;
};

// Reads a folder of ours, a Hugging Face folder of a known family, or a GGUF file. Everything is
// checked; FormatError names file and field. With stepstone.json, every file must have the recorded
// hash.
Stone load_stone(const std::filesystem::path& path, Weights weights = Weights::f32);
// The weights alone, of any of these, in f32.
std::unique_ptr<Transformer> load_weights(const std::filesystem::path& path);

// Tensors under their names in model.safetensors, f32.
TensorMap to_tensors(const Transformer& model);
// The reverse: every parameter must be there with its shape, and nothing else. Mapped files need
// not stay in memory afterwards.
void load_tensors(Transformer& model, const TensorMap& tensors, const std::string& file,
                  Weights weights = Weights::f32, DType compute = DType::f32);

struct StoneContent {
  const Transformer* model;
  const Tokenizer* tokenizer;
  std::string chat_template;
  Json about;                                 // without "format" and "files", which are added
  DType dtype = DType::f32;                   // of the weights in the file: f32 or bf16
  std::vector<std::int32_t> end_tokens = {};  // beyond those that the tokenizer names
};

// Writes every file whole, stepstone.json last.
void save_stone(const std::filesystem::path& folder, const StoneContent& content);

// The id by which children name this stone: the hash of its model file and recipe. Empty for a
// folder without stepstone.json.
std::string stone_id(const Json& about);

}  // namespace stepstone
