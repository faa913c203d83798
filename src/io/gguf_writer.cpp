#include "io/gguf_writer.h"

#include <algorithm>

#include "io/atomic_file.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr std::uint64_t kAlignment = 32;  // the format's default

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
  put<std::uint64_t>(out, text.size());
  out += text;
}

template <typename T>
constexpr GgufKind kKindOf = GgufKind::string;
template <>
constexpr GgufKind kKindOf<bool> = GgufKind::boolean;
template <>
constexpr GgufKind kKindOf<std::uint32_t> = GgufKind::u32;
template <>
constexpr GgufKind kKindOf<std::int32_t> = GgufKind::i32;
template <>
constexpr GgufKind kKindOf<std::uint64_t> = GgufKind::u64;
template <>
constexpr GgufKind kKindOf<std::int64_t> = GgufKind::i64;
template <>
constexpr GgufKind kKindOf<float> = GgufKind::f32;

template <typename T>
void put_value(std::string& out, const T& value) {
  if constexpr (std::same_as<T, std::string>) {
    put_string(out, value);
  } else {
    put(out, value);
  }
}

std::uint64_t padding(std::uint64_t offset) {
  return (kAlignment - offset % kAlignment) % kAlignment;
}

}  // namespace

std::string& GgufWriter::slot(const std::string& key) {
  require<UsageError>(
      !key.empty() && key.size() <= GgufFile::kMaxKeyBytes && key != "general.alignment",
      "gguf: \"{}\" cannot be a key", key);
  const auto found = std::ranges::find(metadata_, key, &Entry::key);
  if (found != metadata_.end()) {
    found->bytes.clear();
    return found->bytes;
  }
  return metadata_.emplace_back(Entry{key, {}}).bytes;
}

template <typename T>
void GgufWriter::set(const std::string& key, const T& value) {
  using E = typename gguf_detail::Element<T>::type;
  std::string& out = slot(key);
  if constexpr (gguf_detail::Element<T>::array) {
    put(out, GgufKind::array);
    put(out, kKindOf<E>);
    put<std::uint64_t>(out, value.size());
    for (const E& element : value) put_value<E>(out, element);
  } else {
    put(out, kKindOf<E>);
    put_value(out, value);
  }
}

template void GgufWriter::set(const std::string&, const bool&);
template void GgufWriter::set(const std::string&, const std::uint32_t&);
template void GgufWriter::set(const std::string&, const std::int32_t&);
template void GgufWriter::set(const std::string&, const std::uint64_t&);
template void GgufWriter::set(const std::string&, const std::int64_t&);
template void GgufWriter::set(const std::string&, const float&);
template void GgufWriter::set(const std::string&, const std::string&);
template void GgufWriter::set(const std::string&, const std::vector<bool>&);
template void GgufWriter::set(const std::string&, const std::vector<std::uint32_t>&);
template void GgufWriter::set(const std::string&, const std::vector<std::int32_t>&);
template void GgufWriter::set(const std::string&, const std::vector<float>&);
template void GgufWriter::set(const std::string&, const std::vector<std::string>&);

void GgufWriter::set(const std::string& key, const GgufValue& value) {
  std::string& out = slot(key);
  if (value.array) {
    put(out, GgufKind::array);
    put(out, value.kind);
    put(out, value.count);
  } else {
    put(out, value.kind);
    if (value.kind == GgufKind::string) put<std::uint64_t>(out, value.bytes.size());
  }
  out.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

void GgufWriter::add(const std::string& name, BlockType type, const Shape& shape, Produce produce) {
  require<UsageError>(!name.empty() && name.size() <= GgufFile::kMaxNameBytes && is_utf8(name),
                      "gguf: \"{}\" cannot be the name of a tensor", name);
  require<UsageError>(std::ranges::find(tensors_, name, &Pending::name) == tensors_.end(),
                      "gguf: tensor {} was added before", name);
  require<UsageError>(shape.rank() >= 1 && shape.rank() <= 4 && shape.numel() > 0 &&
                          shape.dim(-1) % info_of(type).elements == 0,
                      "gguf: tensor {}: {} cannot have the shape {}", name, name_of(type),
                      to_string(shape));
  tensors_.push_back({name, type, shape, std::move(produce)});
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  put<std::uint32_t>(out, 3);
  put<std::uint64_t>(out, tensors_.size());
  put<std::uint64_t>(out, metadata_.size());
  for (const Entry& entry : metadata_) {
    put_string(out, entry.key);
    out += entry.bytes;
  }
  std::uint64_t offset = 0;
  for (const Pending& tensor : tensors_) {
    put_string(out, tensor.name);
    put(out, static_cast<std::uint32_t>(tensor.shape.rank()));
    for (int i = tensor.shape.rank() - 1; i >= 0; --i) put(out, tensor.shape.dim(i));
    put(out, tensor.type);
    put(out, offset);
    offset += bytes_of(tensor.type, static_cast<std::uint64_t>(tensor.shape.numel()));
    offset += padding(offset);
  }
  out.append(padding(out.size()), '\0');
  return out;
}

void GgufWriter::write(const std::filesystem::path& path, const OnTensor& on_tensor) const {
  constexpr char kZeros[kAlignment] = {};
  AtomicFile file(path);
  file.write(header());
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Pending& tensor = tensors_[i];
    if (on_tensor) on_tensor(i, tensors_.size());
    const std::vector<std::byte> bytes = tensor.produce();
    const auto expected = bytes_of(tensor.type, static_cast<std::uint64_t>(tensor.shape.numel()));
    require(bytes.size() == expected, "gguf: tensor {}: {} bytes instead of {}", tensor.name,
            bytes.size(), expected);
    file.write(bytes.data(), bytes.size());
    file.write(kZeros, padding(bytes.size()));
  }
  file.commit();
}

}  // namespace stepstone
