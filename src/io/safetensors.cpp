#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "io/atomic_file.h"
#include "io/byte_reader.h"
#include "io/json.h"

namespace stepstone {
namespace {

constexpr const char* kMetadata = "__metadata__";
constexpr std::uint64_t kMaxExactInteger = std::uint64_t{1} << 53;
constexpr std::uint64_t kDataAlignment = 64;

struct KnownDType {
  std::string_view name;
  std::uint64_t size;
  std::optional<DType> loads_as;
};

// Types without `loads_as` may stand in a file beside tensors that are wanted.
constexpr std::array<KnownDType, 15> kDTypes{{
    {"F32", 4, DType::f32},
    {"BF16", 2, DType::bf16},
    {"F16", 2, DType::f16},
    {"I32", 4, DType::i32},
    {"I64", 8, DType::i64},
    {"U8", 1, DType::u8},
    {"BOOL", 1, DType::u8},
    {"I8", 1, std::nullopt},
    {"I16", 2, std::nullopt},
    {"U16", 2, std::nullopt},
    {"U32", 4, std::nullopt},
    {"U64", 8, std::nullopt},
    {"F64", 8, std::nullopt},
    {"F8_E4M3", 1, std::nullopt},
    {"F8_E5M2", 1, std::nullopt},
}};

const KnownDType* find_dtype(std::string_view name) {
  const auto found =
      std::find_if(kDTypes.begin(), kDTypes.end(), [&](auto& d) { return d.name == name; });
  return found == kDTypes.end() ? nullptr : found;
}

std::string_view safetensors_name(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [&](auto& d) { return d.loads_as == dtype; })
      ->name;
}

// An array of integers in [0, 2^53].
std::vector<std::int64_t> read_integers(const Json& entry, const char* key, std::string_view name,
                                        std::string_view file) {
  const std::string field = fmt::format("{}.{}", name, key);
  if (!entry.contains(key)) throw FormatError(file, field, "missing");
  const Json& array = entry.at(key);
  if (!array.is_array()) throw FormatError(file, field, "is not an array");
  std::vector<std::int64_t> values;
  values.reserve(array.size());
  for (const Json& item : array) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > kMaxExactInteger) {
      throw FormatError(file, field, "holds something other than integers from 0 to 2^53");
    }
    values.push_back(item.get<std::int64_t>());
  }
  return values;
}

Shape read_shape(const Json& entry, std::string_view name, std::string_view file) {
  const std::vector<std::int64_t> dims = read_integers(entry, "shape", name, file);
  try {
    return Shape(dims);
  } catch (const UsageError& error) {
    throw FormatError(file, fmt::format("{}.shape", name), error.what());
  }
}

SafetensorsFile::Info read_info(const Json& entry, std::string_view name, std::string_view file,
                                std::uint64_t data_begin, std::uint64_t data_size) {
  if (!entry.is_object()) throw FormatError(file, name, "is not an object");
  const std::string dtype_field = fmt::format("{}.dtype", name);
  if (!entry.contains("dtype")) throw FormatError(file, dtype_field, "missing");
  if (!entry["dtype"].is_string()) throw FormatError(file, dtype_field, "is not a string");
  SafetensorsFile::Info info;
  info.dtype = entry["dtype"].get<std::string>();
  const KnownDType* dtype = find_dtype(info.dtype);
  if (dtype == nullptr) {
    throw FormatError(file, dtype_field, fmt::format("unknown type '{}'", info.dtype));
  }
  info.shape = read_shape(entry, name, file);

  const std::string field = fmt::format("{}.data_offsets", name);
  const std::vector<std::int64_t> offsets = read_integers(entry, "data_offsets", name, file);
  if (offsets.size() != 2) throw FormatError(file, field, "is not a pair");
  const auto begin = static_cast<std::uint64_t>(offsets[0]);
  const auto end = static_cast<std::uint64_t>(offsets[1]);
  if (begin > end) throw FormatError(file, field, "ends before it begins");
  if (end > data_size) {
    throw FormatError(file, field,
                      fmt::format("ends at {}, but the file has {} bytes of data", end, data_size));
  }
  const auto expected = checked_mul(static_cast<std::uint64_t>(info.shape.numel()), dtype->size);
  if (!expected || *expected != end - begin) {
    throw FormatError(file, field,
                      fmt::format("spans {} bytes, which is not the size of {} {}", end - begin,
                                  info.dtype, to_string(info.shape)));
  }
  info.begin = data_begin + begin;
  info.end = data_begin + end;
  return info;
}

SafetensorsMetadata read_metadata(const Json& json, std::string_view file) {
  if (!json.is_object()) throw FormatError(file, kMetadata, "is not an object");
  SafetensorsMetadata metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      throw FormatError(file, kMetadata, fmt::format("the value of '{}' is not a string", key));
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// The tensors must cover the data without gap or overlap, so that a file has one meaning only.
void check_cover(const std::map<std::string, SafetensorsFile::Info, std::less<>>& infos,
                 std::string_view file, std::uint64_t data_begin, std::uint64_t file_size) {
  std::vector<std::tuple<std::uint64_t, std::uint64_t, std::string_view>> spans;
  for (const auto& [name, info] : infos) spans.emplace_back(info.begin, info.end, name);
  std::sort(spans.begin(), spans.end());
  std::uint64_t position = data_begin;
  for (const auto& [begin, end, name] : spans) {
    if (begin != position) {
      throw FormatError(file, fmt::format("{}.data_offsets", name),
                        begin < position ? "overlaps another tensor" : "leaves a gap before it",
                        begin);
    }
    position = end;
  }
  if (position != file_size) {
    throw FormatError(file, "data",
                      fmt::format("{} bytes after the last tensor", file_size - position),
                      position);
  }
}

std::string_view read_header(ByteReader& reader, std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_lfs_pointer(text)) reader.fail("header size", kLfsProblem);
  const auto size = reader.read<std::uint64_t>("header size");
  if (size > SafetensorsFile::kMaxHeaderBytes || size > reader.remaining()) {
    throw FormatError(reader.file(), "header size",
                      fmt::format("{} is more than the {} that are left or the limit of {}", size,
                                  reader.remaining(), SafetensorsFile::kMaxHeaderBytes),
                      0);
  }
  const std::string_view header = reader.read_string(size, "header");
  if (!header.starts_with('{')) {
    throw FormatError(reader.file(), "header", "does not begin with '{'", 8);
  }
  return header;
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result;
  result.file_ = MappedFile::open(path);
  const std::string file = path.string();
  const std::span<const std::byte> bytes = result.file_->bytes();
  ByteReader reader(bytes, file);
  const std::string_view text = read_header(reader, bytes);
  Json header;
  try {
    header = parse_json(text, file, {.max_values = 4 << 20, .max_depth = 8, .first_byte = 8});
  } catch (const FormatError& error) {
    throw FormatError(file, "header", error.what());
  }
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      result.metadata_ = read_metadata(entry, file);
      continue;
    }
    if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != std::string::npos) {
      throw FormatError(file, "header", "a tensor's name is empty, too long or contains NUL");
    }
    result.infos_.emplace(name, read_info(entry, name, file, reader.offset(), reader.remaining()));
  }
  check_cover(result.infos_, file, reader.offset(), bytes.size());
  return result;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  names.reserve(infos_.size());
  for (const auto& [name, info] : infos_) names.push_back(name);
  return names;
}

const SafetensorsFile::Info& SafetensorsFile::info(std::string_view name) const {
  const auto found = infos_.find(name);
  if (found == infos_.end()) throw FormatError(file_->path().string(), name, "no such tensor");
  return found->second;
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  const Info& entry = info(name);
  const KnownDType& dtype = *find_dtype(entry.dtype);
  if (!dtype.loads_as) {
    throw FormatError(file_->path().string(), fmt::format("{}.dtype", name),
                      fmt::format("type {} is not supported", entry.dtype));
  }
  file_->check_unchanged();
  const std::byte* data = file_->bytes().data() + entry.begin;
  if (reinterpret_cast<std::uintptr_t>(data) % dtype.size == 0) {
    return Tensor::external(data, entry.shape, *dtype.loads_as, file_);
  }
  Tensor copy = Tensor::empty(entry.shape, *dtype.loads_as);
  if (copy.bytes() > 0) std::memcpy(copy.raw(), data, copy.bytes());
  return copy;
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const SafetensorsMetadata& metadata) {
  std::vector<const TensorMap::value_type*> order;
  for (const auto& item : tensors) {
    const auto& [name, tensor] = item;
    require<UsageError>(!name.empty() && name != kMetadata &&
                            name.size() <= SafetensorsFile::kMaxNameBytes &&
                            name.find('\0') == std::string::npos,
                        "{}: '{}' cannot be the name of a tensor", path.string(), name);
    require<UsageError>(tensor.defined() && tensor.device().type == DeviceType::cpu,
                        "{}: tensor '{}' is not in memory", path.string(), name);
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });

  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::uint64_t offset = 0;
  for (const auto* item : order) {
    const Tensor& tensor = item->second;
    const std::span<const std::int64_t> dims = tensor.shape().dims();
    header[item->first] = {{"dtype", safetensors_name(tensor.dtype())},
                           {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                           {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string text = dump_json(header);
  const std::uint64_t used = sizeof(std::uint64_t) + text.size();
  text.append((kDataAlignment - used % kDataAlignment) % kDataAlignment, ' ');
  require<UsageError>(text.size() <= SafetensorsFile::kMaxHeaderBytes,
                      "{}: too many tensors for one file", path.string());

  AtomicFile file(path);
  const std::uint64_t size = text.size();
  file.write(&size, sizeof size);
  file.write(text);
  for (const auto* item : order) file.write(item->second.raw(), item->second.bytes());
  file.commit();
}

}  // namespace stepstone
