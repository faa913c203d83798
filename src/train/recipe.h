// A recipe: everything that decides a training run, from recipes/*.toml and key=value overrides.
// docs/recipes.md lists the keys.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/json.h"
#include "models/transformer/transformer.h"
#include "optim/optimizer.h"
#include "train/config_table.h"
#include "train/trainer.h"

namespace stepstone {

struct TokenizerRecipe {
  std::string kind = "bpe";  // bpe, char, bytes, or file
  std::string path;          // of kind file: a tokenizer.json or a folder
  std::int64_t vocab_size = 4096;
  std::string pattern = "llama3";
};

struct DataRecipe {
  std::vector<std::string> paths;
  std::vector<double> weights;     // one per path, or none
  std::string mode = "documents";  // documents: packed, none sees another; windows: one stream
  double val_fraction = 0.05;
  std::int64_t val_tokens = 65536;  // validation uses at most these; 0: all of the held-out part
};

struct Recipe {
  std::string name;
  TransformerConfig model;  // vocab_size is filled in with the tokenizer's
  InitOptions init;
  TokenizerRecipe tokenizer;
  DataRecipe data;
  OptimizerConfig optim;
  TrainOptions train;
  std::int64_t rows = 16;      // sequences per batch
  std::int64_t context = 256;  // tokens per sequence
  std::string sample_prompt;   // of the texts that train.sample_every asks for
  Json source;                 // as written, overrides included
};

// Throws UsageError naming the key, with a suggestion for an unknown one; also for an override
// without effect.
Recipe read_recipe(const std::filesystem::path& file, std::span<const std::string> overrides);
Recipe parse_recipe(ConfigTable table, std::string name);

// The one dial: a model `depth` layers deep. Width 64 · depth, heads of 64 (32 up to depth 4),
// SwiGLU of 8/3 the width, rounded up to 64.
void apply_depth(TransformerConfig& model, std::int64_t depth);

// Learning rates that go with a width, from defaults for width 256; no sweep has shown yet that
// they transfer: Muon's stays, AdamW's of embedding and head fall with the square root of the
// width.
void scale_learning_rates(OptimizerConfig& optim, std::int64_t width);

}  // namespace stepstone
