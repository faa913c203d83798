// The safetensors format: u64 header size, JSON header, tensor data.
// Specification: https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "io/mapped_file.h"

namespace stepstone {

using TensorMap = std::map<std::string, Tensor>;
using SafetensorsMetadata = std::map<std::string, std::string>;

// One file, checked whole when it is opened: after open() only the values are unknown.
class SafetensorsFile {
 public:
  static constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
  static constexpr std::size_t kMaxNameBytes = 4096;

  // Throws IoError; FormatError with one of the fields "header size", "header", "__metadata__",
  // "NAME", "NAME.dtype", "NAME.shape", "NAME.data_offsets", "data".
  static SafetensorsFile open(const std::filesystem::path& path);

  // What the header says of one tensor. Offsets count from the start of the file.
  struct Info {
    std::string dtype;  // as in the file: "F32", "BF16", …
    Shape shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  std::vector<std::string> names() const;  // sorted
  bool contains(std::string_view name) const { return infos_.find(name) != infos_.end(); }
  // Throws FormatError(field "NAME") when there is no such tensor.
  const Info& info(std::string_view name) const;
  const SafetensorsMetadata& metadata() const { return metadata_; }

  // F32, BF16, F16, I32, I64, U8 and BOOL (as u8), without a copy when the data is aligned: such
  // tensors share memory with each other and keep the file open. Other dtypes are a
  // FormatError(field "NAME.dtype").
  Tensor tensor(std::string_view name) const;

 private:
  SafetensorsFile() = default;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, Info, std::less<>> infos_;
  SafetensorsMetadata metadata_;
};

// Writes f32, bf16, f16, i32, i64 and u8 tensors; atomically (io/atomic_file.h). The data begins at
// a multiple of 64 bytes, larger element types first, so that every tensor is aligned when mapped.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const SafetensorsMetadata& metadata = {{"format", "pt"}});

// A model folder in Hugging Face layout: model.safetensors, or the shards that
// model.safetensors.index.json names. Tensors as of SafetensorsFile::tensor.
TensorMap load_safetensors_folder(const std::filesystem::path& folder);

struct SafetensorsShardOptions {
  std::uint64_t max_shard_bytes = std::uint64_t{5} << 30;  // a larger tensor gets its own shard
  SafetensorsMetadata metadata = {{"format", "pt"}};
};

// The reverse. Each file is atomic, the set is not, so shards are only written where no model
// stands: use an AtomicFolder to replace one. Throws UsageError otherwise.
void write_safetensors_folder(const std::filesystem::path& folder, const TensorMap& tensors,
                              const SafetensorsShardOptions& options = {});

}  // namespace stepstone
