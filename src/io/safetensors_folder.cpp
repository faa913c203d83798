#include <set>

#include "io/atomic_file.h"
#include "io/file.h"
#include "io/json.h"
#include "io/paths.h"
#include "io/safetensors.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

std::vector<TensorMap> split(const TensorMap& tensors, std::uint64_t max_bytes) {
  std::vector<TensorMap> shards(1);
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    if (bytes + tensor.bytes() > max_bytes && !shards.back().empty()) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().emplace(name, tensor);
    bytes += tensor.bytes();
  }
  return shards;
}

}  // namespace

TensorMap load_safetensors_folder(const fs::path& folder) {
  TensorMap tensors;
  const fs::path index_path = folder / kIndexFile;
  if (kind_of(folder / kModelFile) != FileKind::none || kind_of(index_path) == FileKind::none) {
    const SafetensorsFile file = SafetensorsFile::open(folder / kModelFile);
    for (const std::string& name : file.names()) tensors.emplace(name, file.tensor(name));
    return tensors;
  }
  const std::string index = index_path.string();
  const Json json = read_json(index_path);
  const Json weight_map = get<Json>(json, "weight_map", index);
  if (!weight_map.is_object()) throw FormatError(index, "weight_map", "is not an object");
  std::map<std::string, SafetensorsFile> shards;
  for (const auto& [name, value] : weight_map.items()) {
    const std::string field = fmt::format("weight_map.{}", name);
    if (!value.is_string()) throw FormatError(index, field, "is not a string");
    const auto& shard_name = value.get_ref<const std::string&>();
    auto shard = shards.find(shard_name);
    if (shard == shards.end()) {
      const fs::path path = contained_path(folder, shard_name, index, field);
      if (kind_of(path) != FileKind::file) {
        throw FormatError(index, field, fmt::format("shard '{}' is missing", shard_name));
      }
      shard = shards.emplace(shard_name, SafetensorsFile::open(path)).first;
    }
    if (!shard->second.contains(name)) {
      throw FormatError(index, field, fmt::format("'{}' does not hold it", shard_name));
    }
    tensors.emplace(name, shard->second.tensor(name));
  }
  return tensors;
}

void write_safetensors_folder(const fs::path& folder, const TensorMap& tensors,
                              const SafetensorsShardOptions& options) {
  const std::vector<TensorMap> shards = split(tensors, options.max_shard_bytes);
  const auto must_be_absent = [&](const char* name) {
    require<UsageError>(kind_of(folder / name) == FileKind::none,
                        "{}: holds {} already; write the new model into a new folder",
                        folder.string(), name);
  };
  must_be_absent(kIndexFile);
  if (shards.size() == 1) {
    write_safetensors(folder / kModelFile, tensors, options.metadata);
    return;
  }
  must_be_absent(kModelFile);
  Json weight_map = Json::object();
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / name, shards[i], options.metadata);
    for (const auto& [key, tensor] : shards[i]) {
      weight_map[key] = name;
      total += tensor.bytes();
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  write_file(folder / kIndexFile, dump_json(index, 2) + "\n");
}

}  // namespace stepstone
