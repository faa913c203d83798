#include "io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/byte_reader.h"
#include "io/utf8.h"
#include "quant/dequantize.h"

namespace stepstone {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kDefaultAlignment = 32;
// The least that an entry takes: lengths, types and one byte each.
constexpr std::uint64_t kMinMetadataBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

// Bytes of one element; 0 for strings and arrays, whose length is in the file.
std::uint64_t size_of(GgufKind kind) {
  switch (kind) {
    case GgufKind::u8:
    case GgufKind::i8:
    case GgufKind::boolean:
      return 1;
    case GgufKind::u16:
    case GgufKind::i16:
      return 2;
    case GgufKind::u32:
    case GgufKind::i32:
    case GgufKind::f32:
      return 4;
    case GgufKind::u64:
    case GgufKind::i64:
    case GgufKind::f64:
      return 8;
    case GgufKind::string:
    case GgufKind::array:
      break;
  }
  return 0;
}

GgufKind read_kind(ByteReader& reader, std::string_view field) {
  const auto number = reader.read<std::uint32_t>(field);
  if (number > static_cast<std::uint32_t>(GgufKind::f64)) {
    reader.fail(field, fmt::format("unknown type {}", number));
  }
  return static_cast<GgufKind>(number);
}

std::string read_name(ByteReader& reader, const std::string& field, std::size_t max_bytes) {
  const auto length = reader.read<std::uint64_t>(field);
  if (length == 0 || length > max_bytes) {
    reader.fail(field, fmt::format("a name of {} bytes; 1 to {} are allowed", length, max_bytes));
  }
  const std::string_view name = reader.read_string(length, field);
  if (!is_utf8(name) || name.find('\0') != std::string_view::npos) {
    reader.fail(field, "a name that is not UTF-8 text");
  }
  return std::string(name);
}

GgufValue read_value(ByteReader& reader, const std::string& key, std::span<const std::byte> bytes) {
  GgufValue value;
  value.kind = read_kind(reader, key);
  if (value.kind == GgufKind::array) {
    value.array = true;
    value.kind = read_kind(reader, key);
    if (value.kind == GgufKind::array) reader.fail(key, "an array of arrays");
    value.count = reader.read<std::uint64_t>(key);
  }
  value.offset = reader.offset();
  if (value.kind != GgufKind::string) {
    const auto size = checked_mul(value.count, size_of(value.kind));
    if (!size) reader.fail(key, fmt::format("{} elements are too many", value.count));
    value.bytes = reader.read_bytes(*size, key);
    const auto is_truth = [](std::byte b) { return b <= std::byte{1}; };
    if (value.kind == GgufKind::boolean && !std::ranges::all_of(value.bytes, is_truth)) {
      reader.fail(key, "a truth value that is neither 0 nor 1");
    }
  } else if (value.array) {
    if (value.count > reader.remaining() / 8) {
      reader.fail(key, fmt::format("{} strings do not fit the {} bytes that are left", value.count,
                                   reader.remaining()));
    }
    for (std::uint64_t i = 0; i < value.count; ++i) {
      reader.read_bytes(reader.read<std::uint64_t>(key), key);
    }
    value.bytes = bytes.subspan(value.offset, reader.offset() - value.offset);
  } else {
    value.bytes = reader.read_bytes(reader.read<std::uint64_t>(key), key);
    value.offset = reader.offset() - value.bytes.size();
  }
  return value;
}

std::uint64_t read_count(ByteReader& reader, const std::string& field, std::uint64_t each) {
  const auto count = reader.read<std::uint64_t>(field);
  if (count > reader.remaining() / each) {
    reader.fail(field,
                fmt::format("{} do not fit the {} bytes that are left", count, reader.remaining()));
  }
  return count;
}

Shape read_shape(ByteReader& reader, const std::string& name) {
  const std::string field = name + ".shape";
  const auto rank = reader.read<std::uint32_t>(name + ".dimensions");
  if (rank == 0 || rank > 4) {
    reader.fail(name + ".dimensions", fmt::format("expected 1 to 4, got {}", rank));
  }
  std::vector<std::int64_t> dims(rank);
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    *dim = reader.read<std::int64_t>(field);
    if (*dim <= 0) reader.fail(field, fmt::format("an extent of {}", *dim));
  }
  try {
    return Shape(dims);
  } catch (const UsageError& error) {
    reader.fail(field, error.what());
  }
}

BlockType read_type(ByteReader& reader, const std::string& name, const Shape& shape) {
  const std::string field = name + ".type";
  const auto number = reader.read<std::uint32_t>(field);
  const BlockInfo* info = find_block_type(number);
  if (info == nullptr) reader.fail(field, fmt::format("type {} is not known", number));
  if (shape.dim(-1) % info->elements != 0) {
    reader.fail(name + ".shape", fmt::format("rows of {} are not whole blocks of {} ({})",
                                             shape.dim(-1), info->elements, info->name));
  }
  return info->type;
}

// Offsets and sizes within the data; absolute once the data's place is known.
GgufFile::Info read_tensor(ByteReader& reader, const std::string& name) {
  GgufFile::Info info;
  info.shape = read_shape(reader, name);
  info.type = read_type(reader, name, info.shape);
  const BlockInfo& block = info_of(info.type);
  const auto blocks = static_cast<std::uint64_t>(info.shape.numel()) / block.elements;
  const auto size = checked_mul(blocks, block.bytes);
  info.begin = reader.read<std::uint64_t>(name + ".offset");
  const auto end = size ? checked_add(info.begin, *size) : size;
  if (!end) reader.fail(name + ".offset", "the tensor's end is beyond 2^64");
  info.end = *end;
  return info;
}

// The tensors must lie one after the other in the order of the table, each at the next multiple of
// the alignment, as ggml demands: a file has one meaning only.
void place_tensors(ByteReader& reader, const std::vector<std::string>& order,
                   std::map<std::string, GgufFile::Info, std::less<>>& infos,
                   std::uint64_t alignment) {
  const auto aligned = [&](std::uint64_t offset) {
    return (offset + alignment - 1) / alignment * alignment;
  };
  const std::uint64_t data_begin = reader.offset(), data_size = reader.remaining();
  std::uint64_t expected = 0;
  for (const std::string& name : order) {
    GgufFile::Info& info = infos.find(name)->second;
    if (info.begin != expected) {
      reader.fail(name + ".offset",
                  fmt::format("is {}, but the tensors before it end at {}", info.begin, expected));
    }
    if (info.end > data_size) {
      reader.fail(name + ".offset", fmt::format("the tensor ends at {}, but there are {} bytes of "
                                                "data",
                                                info.end, data_size));
    }
    expected = aligned(info.end);
    info.begin += data_begin;
    info.end += data_begin;
  }
  if (data_size > expected) {
    reader.fail("data", fmt::format("{} bytes after the last tensor", data_size - expected));
  }
}

std::uint64_t alignment_of(const GgufFile& file) {
  constexpr const char* kKey = "general.alignment";
  const auto found = file.metadata().find(kKey);
  if (found == file.metadata().end()) return kDefaultAlignment;
  if (found->second.kind != GgufKind::u32 || found->second.array) {
    file.fail(kKey, "is not of type u32");
  }
  const auto alignment = file.get<std::uint64_t>(kKey);
  if (!std::has_single_bit(alignment) || alignment > GgufFile::kMaxAlignment) {
    file.fail(kKey,
              fmt::format("{} is not a power of two up to {}", alignment, GgufFile::kMaxAlignment));
  }
  return alignment;
}

void read_preamble(ByteReader& reader, std::span<const std::byte> bytes) {
  if (is_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), bytes.size()})) {
    reader.fail("magic", kLfsProblem);
  }
  if (reader.read<std::uint32_t>("magic") != kMagic) {
    throw FormatError(reader.file(), "magic", "the file does not begin with \"GGUF\"", 0);
  }
  const auto version = reader.read<std::uint32_t>("version");
  if (version == 2 || version == 3) return;
  throw FormatError(reader.file(), "version",
                    (version & 0xffff) == 0 && version != 0
                        ? std::string("the file is big-endian")
                        : fmt::format("expected 2 or 3, got {}", version),
                    4);
}

}  // namespace

std::string_view name_of(GgufKind kind) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<std::size_t>(kind)];
}

GgufFile GgufFile::open(const std::filesystem::path& path) {
  GgufFile result;
  result.name_ = path.string();
  result.file_ = MappedFile::open(path);
  const std::span<const std::byte> bytes = result.file_->bytes();
  ByteReader reader(bytes, result.name_);
  read_preamble(reader, bytes);
  const std::uint64_t tensors = read_count(reader, "tensor count", kMinTensorBytes);
  const std::uint64_t pairs = read_count(reader, "metadata count", kMinMetadataBytes);
  for (std::uint64_t i = 0; i < pairs; ++i) {
    std::string key = read_name(reader, fmt::format("metadata {}", i), kMaxKeyBytes);
    if (result.has(key)) reader.fail(key, "stands twice");
    const GgufValue value = read_value(reader, key, bytes);
    result.metadata_.emplace(std::move(key), value);
  }
  for (std::uint64_t i = 0; i < tensors; ++i) {
    std::string name = read_name(reader, fmt::format("tensor {}", i), kMaxNameBytes);
    if (result.contains(name)) reader.fail(name, "stands twice");
    Info info = read_tensor(reader, name);
    result.order_.push_back(name);
    result.infos_.emplace(std::move(name), std::move(info));
  }
  const std::uint64_t alignment = alignment_of(result);
  if (tensors == 0 && reader.remaining() < alignment) return result;  // padding, or none
  reader.align(alignment, "data");
  place_tensors(reader, result.order_, result.infos_, alignment);
  return result;
}

void GgufFile::fail(std::string_view key, std::string_view problem) const {
  const auto found = metadata_.find(key);
  throw FormatError(name_, key, problem,
                    found == metadata_.end() ? FormatError::kNoOffset : found->second.offset);
}

const GgufValue& GgufFile::value(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail(key, "missing");
  return found->second;
}

std::vector<std::string_view> GgufFile::strings(std::string_view key) const {
  const GgufValue& v = value(key);
  if (v.kind != GgufKind::string || !v.array) fail(key, "is not an array of text");
  ByteReader reader(v.bytes, name_);
  std::vector<std::string_view> views;
  views.reserve(v.count);
  for (std::uint64_t i = 0; i < v.count; ++i) {
    views.push_back(reader.read_string(reader.read<std::uint64_t>(key), key));
  }
  return views;
}

namespace {

template <typename T>
T at(const GgufValue& v, std::uint64_t i) {
  T value;
  std::memcpy(&value, v.bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

std::int64_t GgufFile::integer(const GgufValue& v, std::uint64_t i, std::string_view key) const {
  switch (v.kind) {
    case GgufKind::u8:
      return at<std::uint8_t>(v, i);
    case GgufKind::i8:
      return at<std::int8_t>(v, i);
    case GgufKind::u16:
      return at<std::uint16_t>(v, i);
    case GgufKind::i16:
      return at<std::int16_t>(v, i);
    case GgufKind::u32:
      return at<std::uint32_t>(v, i);
    case GgufKind::i32:
      return at<std::int32_t>(v, i);
    case GgufKind::i64:
      return at<std::int64_t>(v, i);
    case GgufKind::u64: {
      const auto number = at<std::uint64_t>(v, i);
      if (!std::in_range<std::int64_t>(number)) fail(key, "is out of range");
      return static_cast<std::int64_t>(number);
    }
    default:
      fail(key, fmt::format("expected an integer, got {}", name_of(v.kind)));
  }
}

double GgufFile::real(const GgufValue& v, std::uint64_t i, std::string_view key) const {
  if (v.kind == GgufKind::f32) return at<float>(v, i);
  if (v.kind == GgufKind::f64) return at<double>(v, i);
  return static_cast<double>(integer(v, i, key));
}

std::vector<std::string> GgufFile::names() const { return order_; }

const GgufFile::Info& GgufFile::info(std::string_view name) const {
  const auto found = infos_.find(name);
  if (found == infos_.end()) throw FormatError(name_, name, "no such tensor");
  return found->second;
}

std::span<const std::byte> GgufFile::data(std::string_view name) const {
  const Info& entry = info(name);
  file_->check_unchanged();
  return file_->bytes().subspan(entry.begin, entry.end - entry.begin);
}

Tensor GgufFile::tensor(std::string_view name) const {
  const Info& entry = info(name);
  const std::span<const std::byte> bytes = data(name);
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(bytes.data()) % info_of(entry.type).bytes == 0;
  if (aligned && entry.type == BlockType::f32) {
    return Tensor::external(bytes.data(), entry.shape, DType::f32, file_);
  }
  if (aligned && (entry.type == BlockType::bf16 || entry.type == BlockType::f16)) {
    const DType half = entry.type == BlockType::bf16 ? DType::bf16 : DType::f16;
    return Tensor::external(bytes.data(), entry.shape, half, file_);
  }
  if (!info_of(entry.type).weights) {
    throw FormatError(name_, fmt::format("{}.type", name),
                      fmt::format("{} is not a type of weights", name_of(entry.type)));
  }
  Tensor values = Tensor::empty(entry.shape, DType::f32);
  dequantize(entry.type, bytes, values.span<float>());
  return values;
}

}  // namespace stepstone
