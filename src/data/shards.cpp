#include "data/shards.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/byte_reader.h"
#include "io/file.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/paths.h"

namespace stepstone {
namespace {

constexpr std::string_view kMagic = "STPSHARD";
constexpr std::string_view kFormat = "stepstone-shards";
constexpr std::string_view kIndexName = "index.json";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kHeaderBytes = 128, kHashedHeaderBytes = 88, kAlignment = 64;
constexpr std::uint64_t kHasMask = 1;

struct Header {
  std::uint32_t token_bytes = 0;
  std::uint64_t tokens = 0, documents = 0, vocab_size = 0, text_bytes = 0, flags = 0;
  Hash128 tokenizer_hash, payload_hash;
};

template <typename T>
void append(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void append(std::string& out, Hash128 hash) {
  append(out, hash.low);
  append(out, hash.high);
}

std::string header_bytes(const Header& header) {
  std::string out(kMagic);
  append(out, kVersion);
  append(out, header.token_bytes);
  append(out, header.tokens);
  append(out, header.documents);
  append(out, header.vocab_size);
  append(out, header.text_bytes);
  append(out, header.flags);
  append(out, header.tokenizer_hash);
  append(out, header.payload_hash);
  append(out, static_cast<std::uint64_t>(XXH3_64bits(out.data(), out.size())));
  out.resize(kHeaderBytes, '\0');
  return out;
}

Header read_header(ByteReader& reader, std::span<const std::byte> bytes) {
  if (reader.remaining() < kHeaderBytes) {
    reader.fail("header", fmt::format("needs {} bytes, but the file has {}", kHeaderBytes,
                                      reader.remaining()));
  }
  if (reader.read_string(kMagic.size(), "magic") != kMagic) {
    throw FormatError(reader.file(), "magic", "is not a Stepstone token shard", 0);
  }
  const auto version = reader.read<std::uint32_t>("version");
  if (version != kVersion) {
    reader.fail("version", fmt::format("is {}; this program reads {}", version, kVersion));
  }
  Header header;
  const auto read_hash = [&](std::string_view field) {
    Hash128 hash;
    hash.low = reader.read<std::uint64_t>(field);
    hash.high = reader.read<std::uint64_t>(field);
    return hash;
  };
  header.token_bytes = reader.read<std::uint32_t>("token bytes");
  header.tokens = reader.read<std::uint64_t>("tokens");
  header.documents = reader.read<std::uint64_t>("documents");
  header.vocab_size = reader.read<std::uint64_t>("vocabulary");
  header.text_bytes = reader.read<std::uint64_t>("text bytes");
  header.flags = reader.read<std::uint64_t>("flags");
  header.tokenizer_hash = read_hash("tokenizer hash");
  header.payload_hash = read_hash("payload hash");
  const auto hash = reader.read<std::uint64_t>("header hash");
  if (hash != XXH3_64bits(bytes.data(), kHashedHeaderBytes)) {
    reader.fail("header hash", "does not match: the header is damaged");
  }
  for (const std::byte b : reader.read_bytes(kHeaderBytes - reader.offset(), "reserved")) {
    if (b != std::byte{0}) reader.fail("reserved", "must be zero");
  }
  if (header.token_bytes != 2 && header.token_bytes != 4) {
    reader.fail("token bytes", fmt::format("is {}, not 2 or 4", header.token_bytes));
  }
  if (header.flags > kHasMask) reader.fail("flags", "has unknown bits");
  if (header.documents == ~std::uint64_t{0}) reader.fail("documents", "is absurd");
  return header;
}

template <typename T>
std::span<const T> map_array(ByteReader& reader, std::uint64_t count, std::string_view field) {
  reader.align(kAlignment, field);
  const std::uint64_t at = reader.offset();
  const auto size = checked_mul(count, sizeof(T));
  if (!size || *size > reader.remaining()) {
    reader.fail(field, fmt::format("needs {} x {} bytes, but only {} are left", count, sizeof(T),
                                   reader.remaining()));
  }
  const auto bytes = reader.read_bytes(*size, field);
  if (at % alignof(T) != 0) reader.fail(field, "is not aligned");
  return {reinterpret_cast<const T*>(bytes.data()), static_cast<std::size_t>(count)};
}

void check_document_index(const ByteReader& reader, const Header& header,
                          std::span<const std::uint64_t> starts) {
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const bool wrong = starts[i] < last || starts[i] > header.tokens || (i == 0 && starts[i] != 0);
    if (wrong) {
      throw FormatError(reader.file(), "document index", "does not rise from 0 to the token count",
                        kHeaderBytes + i * sizeof(std::uint64_t));
    }
    last = starts[i];
  }
  if (last != header.tokens) reader.fail("document index", "does not end at the token count");
}

template <typename T>
void check_ids(const ByteReader& reader, std::span<const T> tokens, std::uint64_t vocab_size) {
  T largest = 0;
  for (const T id : tokens) largest = id > largest ? id : largest;
  if (!tokens.empty() && largest >= vocab_size) {
    throw FormatError(reader.file(), "tokens",
                      fmt::format("has id {}, but the vocabulary has {}", largest, vocab_size));
  }
}

std::pair<Header, ShardView> open_shard(const std::filesystem::path& path, bool verify) {
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  ByteReader reader(bytes, path.string());
  const Header header = read_header(reader, bytes);
  ShardView view;
  view.owner = file;
  view.starts = map_array<std::uint64_t>(reader, header.documents + 1, "document index");
  check_document_index(reader, header, view.starts);
  if (header.token_bytes == 2) {
    view.tokens = map_array<std::uint16_t>(reader, header.tokens, "tokens");
  } else {
    view.tokens = map_array<std::uint32_t>(reader, header.tokens, "tokens");
  }
  if (header.flags & kHasMask) {
    view.mask =
        map_array<std::uint8_t>(reader, header.tokens / 8 + (header.tokens % 8 != 0), "loss mask");
  }
  if (reader.remaining() != 0) {
    reader.fail("end", fmt::format("has {} bytes too many", reader.remaining()));
  }
  if (verify) {
    const std::string_view payload(reinterpret_cast<const char*>(bytes.data()) + kHeaderBytes,
                                   bytes.size() - kHeaderBytes);
    if (hash_bytes(payload) != header.payload_hash) {
      throw FormatError(path.string(), "payload hash", "does not match: the data is damaged");
    }
    std::visit([&](auto tokens) { check_ids(reader, tokens, header.vocab_size); }, view.tokens);
  }
  return {header, std::move(view)};
}

void pad(std::string& payload) {
  // The header is a multiple of the alignment, so the payload's own length decides.
  payload.resize((payload.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
}

bool has_our_index(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(folder / kIndexName, error)) return false;
  try {
    const Json index = read_json(folder / kIndexName);
    return get_or<std::string>(index, "format", "", "") == kFormat;
  } catch (const Error&) {
    return false;
  }
}

bool holds_shards(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("tokens-") && name.ends_with(".shard")) return true;
  }
  return false;
}

void check_manifest(const std::filesystem::path& folder, const std::vector<ManifestEntry>& manifest,
                    const std::string& name, std::uint64_t size, const std::string& hash) {
  const auto entry = std::find_if(manifest.begin(), manifest.end(),
                                  [&](const ManifestEntry& e) { return e.name == name; });
  if (entry == manifest.end()) {
    throw FormatError((folder / kManifestName).string(), "files", "does not list " + name);
  }
  if (entry->size != size || entry->hash.hex() != hash) {
    throw FormatError((folder / name).string(), "hash",
                      "differs from manifest.json: the dataset is damaged");
  }
}

// index.json, once it and the manifest agree on everything. FormatError otherwise.
Json read_index(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kIndexName;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw FormatError(path.string(), "document", "is missing: the dataset is damaged");
  }
  const std::string text = read_file(path), file = path.string();
  const std::vector<ManifestEntry> manifest = read_manifest(folder);
  check_manifest(folder, manifest, std::string(kIndexName), text.size(), hash_bytes(text).hex());
  Json index = parse_json(text, file);
  if (get<std::string>(index, "format", file) != kFormat) {
    throw FormatError(file, "format", "is not a Stepstone token dataset");
  }
  const auto version = get<std::uint32_t>(index, "version", file);
  if (version != kVersion) {
    throw FormatError(file, "version",
                      fmt::format("is {}; this program reads {}", version, kVersion));
  }
  for (const Json& shard : get<std::vector<Json>>(index, "shards", file)) {
    check_manifest(folder, manifest, get<std::string>(shard, "file", file),
                   get<std::uint64_t>(shard, "size", file),
                   get<std::string>(shard, "xxh3_128", file));
  }
  return index;
}

std::filesystem::path checked_target(std::filesystem::path folder) {
  std::error_code error;
  const bool free =
      !std::filesystem::exists(folder, error) ||
      (std::filesystem::is_directory(folder, error) && std::filesystem::is_empty(folder, error));
  if (free || has_our_index(folder)) return folder;
  // One whose index is damaged is not written over: read_index() says what is wrong with it.
  if (holds_shards(folder)) read_index(folder);
  throw UsageError(
      fmt::format("{}: exists and is not a token dataset; choose another folder", folder.string()));
}

}  // namespace

bool is_shard_folder(const std::filesystem::path& folder) {
  return has_our_index(folder) || holds_shards(folder);
}

bool is_token_folder(const std::filesystem::path& folder) {
  return is_shard_folder(folder) || is_shard_folder(folder / "train");
}

ShardWriter::ShardWriter(std::filesystem::path folder, const TokenShardOptions& options)
    : folder_(checked_target(std::move(folder))), options_(options) {
  require<UsageError>(options.vocab_size > 0 && options.vocab_size <= std::int64_t{1} << 31,
                      "shards: a vocabulary of {} tokens", options.vocab_size);
  require<UsageError>(options.tokens_per_shard > 0, "shards: a shard needs room for a token");
}

void ShardWriter::add(std::span<const std::int32_t> tokens, std::int64_t text_bytes,
                      std::span<const std::uint8_t> mask) {
  require<UsageError>(mask.size() == (options_.mask ? tokens.size() : 0),
                      "shards: {} mask entries for {} tokens", mask.size(), tokens.size());
  for (const std::int32_t id : tokens) {
    require<UsageError>(id >= 0 && id < options_.vocab_size,
                        "shards: token id {} outside the vocabulary of {}", id,
                        options_.vocab_size);
  }
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const std::size_t bit = tokens_.size() + i;
    if (bit % 8 == 0) mask_.push_back(0);
    if (mask[i] != 0) mask_.back() |= static_cast<std::uint8_t>(1u << (bit % 8));
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  starts_.push_back(tokens_.size());
  text_bytes_ += text_bytes;
  if (static_cast<std::int64_t>(tokens_.size()) >= options_.tokens_per_shard) write_shard();
}

void ShardWriter::write_shard() {
  Header header;
  header.token_bytes = options_.vocab_size <= 65536 ? 2 : 4;
  header.tokens = tokens_.size();
  header.documents = starts_.size() - 1;
  header.vocab_size = static_cast<std::uint64_t>(options_.vocab_size);
  header.text_bytes = static_cast<std::uint64_t>(text_bytes_);
  header.flags = options_.mask ? kHasMask : 0;
  header.tokenizer_hash = options_.tokenizer_hash;
  std::string payload(reinterpret_cast<const char*>(starts_.data()), starts_.size() * 8);
  pad(payload);
  payload.reserve(payload.size() + tokens_.size() * 5 + 2 * kAlignment);
  if (header.token_bytes == 2) {
    for (const std::uint32_t id : tokens_) append(payload, static_cast<std::uint16_t>(id));
  } else {
    payload.append(reinterpret_cast<const char*>(tokens_.data()), tokens_.size() * 4);
  }
  if (options_.mask) {
    pad(payload);
    payload.append(reinterpret_cast<const char*>(mask_.data()), mask_.size());
  }
  header.payload_hash = hash_bytes(payload);
  const std::string name = fmt::format("tokens-{:05}.shard", shards_.size());
  AtomicFile file(folder_.path() / name);
  file.write(header_bytes(header));
  file.write(payload);
  shards_.push_back({name, static_cast<std::int64_t>(header.tokens),
                     static_cast<std::int64_t>(header.documents), text_bytes_, file.size(),
                     file.hash()});
  file.commit();
  total_tokens_ += static_cast<std::int64_t>(header.tokens);
  total_documents_ += static_cast<std::int64_t>(header.documents);
  total_text_bytes_ += text_bytes_;
  tokens_.clear();
  starts_ = {0};
  mask_.clear();
  text_bytes_ = 0;
}

void ShardWriter::finish() {
  if (starts_.size() > 1) write_shard();
  require<UsageError>(total_tokens_ > 0, "shards: there is nothing to write: no tokens");
  Json list = Json::array();
  for (const Entry& shard : shards_) {
    list.push_back({{"file", shard.file},
                    {"tokens", shard.tokens},
                    {"documents", shard.documents},
                    {"text_bytes", shard.text_bytes},
                    {"size", shard.size},
                    {"xxh3_128", shard.hash.hex()}});
  }
  const Json index = {{"format", kFormat},
                      {"version", kVersion},
                      {"tokenizer_xxh3_128", options_.tokenizer_hash.hex()},
                      {"vocab_size", options_.vocab_size},
                      {"mask", options_.mask},
                      {"tokens", total_tokens_},
                      {"documents", total_documents_},
                      {"text_bytes", total_text_bytes_},
                      {"shards", std::move(list)}};
  write_file(folder_.path() / kIndexName, dump_json(index, 2) + "\n");
  folder_.commit();
}

namespace {

// The totals of the headers must be those of the index.
void check_shard(const Json& entry, const Header& header, const ShardInfo& info,
                 const std::string& file, const std::string& index_file) {
  const auto same = [&](std::string_view field, std::uint64_t in_header) {
    if (get<std::uint64_t>(entry, field, index_file) != in_header) {
      throw FormatError(file, field, "differs from index.json");
    }
  };
  same("tokens", header.tokens);
  same("documents", header.documents);
  same("text_bytes", header.text_bytes);
  if (header.vocab_size != static_cast<std::uint64_t>(info.vocab_size)) {
    throw FormatError(file, "vocabulary", "differs from index.json");
  }
  if (header.tokenizer_hash != info.tokenizer_hash) {
    throw FormatError(file, "tokenizer hash", "differs from index.json");
  }
  if (((header.flags & kHasMask) != 0) != info.mask) {
    throw FormatError(file, "flags", "loss mask differs from index.json");
  }
}

Hash128 parse_hash(const std::string& hex, const std::string& file, std::string_view field) {
  Hash128 hash;
  bool good = hex.size() == 32;
  for (std::size_t i = 0; good && i < 32; ++i) {
    const char c = hex[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    good = digit >= 0;
    std::uint64_t& half = i < 16 ? hash.high : hash.low;
    half = half << 4 | static_cast<std::uint64_t>(digit & 15);
  }
  if (!good) throw FormatError(file, field, "must be 32 hexadecimal digits");
  return hash;
}

}  // namespace

OpenedShards open_shards(const std::filesystem::path& folder, const OpenShardsOptions& options) {
  recover_folder(folder);
  const Json index = read_index(folder);
  const std::string index_file = (folder / kIndexName).string();
  ShardInfo info;
  info.tokenizer_hash = parse_hash(get<std::string>(index, "tokenizer_xxh3_128", index_file),
                                   index_file, "tokenizer_xxh3_128");
  info.vocab_size = get<std::int64_t>(index, "vocab_size", index_file);
  info.mask = get<bool>(index, "mask", index_file);
  std::vector<ShardView> views;
  for (const Json& entry : get<std::vector<Json>>(index, "shards", index_file)) {
    const std::filesystem::path path = contained_path(
        folder, get<std::string>(entry, "file", index_file), index_file, "shards/file");
    auto [header, view] = open_shard(path, options.verify);
    check_shard(entry, header, info, path.string(), index_file);
    info.tokens += static_cast<std::int64_t>(header.tokens);
    info.documents += static_cast<std::int64_t>(header.documents);
    info.text_bytes += static_cast<std::int64_t>(header.text_bytes);
    views.push_back(std::move(view));
  }
  if (info.tokens != get<std::int64_t>(index, "tokens", index_file) || info.tokens == 0) {
    throw FormatError(index_file, "tokens", "is not the sum of the shards, or zero");
  }
  if (info.documents != get<std::int64_t>(index, "documents", index_file)) {
    throw FormatError(index_file, "documents", "is not the sum of the shards");
  }
  if (info.text_bytes != get<std::int64_t>(index, "text_bytes", index_file)) {
    throw FormatError(index_file, "text_bytes", "is not the sum of the shards");
  }
  return {info, Dataset(std::move(views))};
}

void require_tokenizer(const OpenedShards& shards, const std::filesystem::path& folder,
                       Hash128 tokenizer_hash, std::int64_t vocab_size) {
  if (shards.info.tokenizer_hash != tokenizer_hash || shards.info.vocab_size != vocab_size) {
    throw FormatError((folder / kIndexName).string(), "tokenizer",
                      "the tokens were made with another tokenizer; tokenize again");
  }
}

}  // namespace stepstone
