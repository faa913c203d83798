// The metadata of a GGUF model <-> the shape of a transformer.
#pragma once

#include <string_view>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "models/transformer/config.h"
#include "models/transformer/names.h"

namespace stepstone {

// An architecture of GGUF files and what distinguishes it here.
struct GgufArchitecture {
  std::string_view name;        // general.architecture
  std::string_view model_type;  // of config.json
  // Rows of query and key heads stand in the order of pairs (i, i + d/2), for interleaved rotation.
  bool paired_rows = false;
  bool packed_qkv = false, packed_up = false;
};

// Throws UsageError for a family without one.
const GgufArchitecture& gguf_architecture(const TransformerConfig& config);

// Throws FormatError naming the key for anything unknown or missing.
TransformerConfig read_gguf_config(const GgufFile& file);
void write_gguf_config(const TransformerConfig& config, GgufWriter& writer);

// What of it a GGUF file cannot say, a sentence each.
std::vector<std::string> gguf_losses(const TransformerConfig& config);

// Tensor names in the file, in the fields of the names of a folder.
TensorNames gguf_names(const TransformerConfig& config);

}  // namespace stepstone
