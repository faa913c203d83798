// A transformer's weights in a GGUF file.
#pragma once

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "models/transformer/transformer.h"
#include "quant/mixture.h"
#include "stone/set_values.h"

namespace stepstone {

// A tensor of the file that holds rows of a parameter.
struct GgufPart {
  std::string name;
  std::int64_t rows;
  TensorKind kind;
  std::int64_t layer = 0;
  std::int64_t paired_heads = 0;  // > 0: rows of these heads stand in interleaved order
  float offset = 0;               // the file's value less ours
};

// The tensors that hold `parameter`, whose rows they give one after another. The quantised blocks
// are GgufFile::data(name); the order of rows is the file's (see paired_heads).
std::vector<GgufPart> gguf_parts(const TransformerConfig& config, const nn::Parameter& parameter);

// Fills `model`, which has the file's config. Throws FormatError for a tensor that is missing, left
// over or of another shape.
void load_gguf_tensors(Transformer& model, const GgufFile& file, Weights weights = Weights::f32);

// A tensor whose rows do not fit the type that its mixture has in mind.
struct GgufFallback {
  std::string name;
  std::int64_t row;  // values
  BlockType wanted, type;
};

// Adds every weight, of the type that `mixture` gives it; returns those that got another one.
// `model` must outlive `writer`. A weight that a type cannot hold is a FormatError of `source`, the
// model's file or folder, when it is written.
std::vector<GgufFallback> add_gguf_tensors(const Transformer& model, const Mixture& mixture,
                                           GgufWriter& writer, const std::string& source = "model");

}  // namespace stepstone
