// Models from one format into another.
#pragma once

#include <filesystem>
#include <string_view>

#include "io/gguf_writer.h"
#include "stone/stone.h"

namespace stepstone {

// Writes `model` (a folder or a GGUF file) as the GGUF file `out`, whole or not at all; `mixture`
// as of quant/mixture.h. From a GGUF file all metadata is kept as it is. Throws UsageError for a
// family or tokenizer that GGUF cannot hold.
struct GgufSummary {
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  std::vector<std::string> notes;  // what the file cannot hold, for the user
};
GgufSummary write_gguf(const std::filesystem::path& model, std::string_view mixture,
                       const std::filesystem::path& out,
                       const GgufWriter::OnTensor& on_tensor = {});

// Writes `model` as the folder `out` in Hugging Face layout with stepstone.json, whole or not at
// all; f32 or bf16. Throws UsageError when `out` exists.
void write_folder(const std::filesystem::path& model, DType dtype,
                  const std::filesystem::path& out);

}  // namespace stepstone
