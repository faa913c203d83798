#include "stone/model_file.h"

#include <algorithm>
#include <cstring>

#include "io/file.h"
#include "io/utf8.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr std::string_view kExpected = "expected a model folder (with config.json) or a GGUF file";

struct Beginning {
  std::string_view bytes, what;
};
constexpr Beginning kBeginnings[] = {
    {"\x7f"
     "ELF",
     "a program"},
    {"PK\x03\x04",
     "a zip archive, as PyTorch's .bin and .pth are, which have to be converted to "
     "safetensors first"},
    {"\x80\x02", "a pickle of Python, which has to be converted to safetensors first"},
    {"lmgg", "of llama.cpp from before GGUF; its convert_llama_ggml_to_gguf.py reads it"},
    {"fmgg", "of llama.cpp from before GGUF; its convert_llama_ggml_to_gguf.py reads it"},
    {"tjgg", "of llama.cpp from before GGUF; its convert_llama_ggml_to_gguf.py reads it"},
    {"\x1f\x8b", "compressed with gzip"},
    {"\x28\xb5\x2f\xfd", "compressed with zstd"},
    {"<!DOCTYPE", "a web page, as when a download needs a login"},
    {"<html", "a web page, as when a download needs a login"},
};

bool is_safetensors(std::string_view bytes) {
  std::uint64_t header = 0;
  if (bytes.size() <= sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header < (std::uint64_t{1} << 32) && bytes[sizeof header] == '{';
}

bool is_text(std::string_view bytes) {
  while (!bytes.empty() && (bytes.back() & 0x80) != 0) bytes.remove_suffix(1);  // may be cut
  return is_utf8(bytes) && bytes.find('\0') == std::string_view::npos;
}

std::string description(const fs::path& path, std::string_view bytes) {
  if (bytes.empty()) return "the file is empty";
  if (is_lfs_pointer(bytes)) return std::string(kLfsProblem);
  for (const auto& [begin, what] : kBeginnings) {
    if (bytes.starts_with(begin)) return fmt::format("the file seems to be {}", what);
  }
  if (is_safetensors(bytes)) {
    return fmt::format(
        "the file seems to be safetensors, the weights alone: name its folder, {}, where "
        "config.json and tokenizer.json are too",
        parent_folder(path).string());
  }
  const auto first = bytes.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (bytes[first] == '{' || bytes[first] == '[')) {
    return path.filename() == "config.json"
               ? fmt::format("the file is part of a model: name its folder, {}",
                             parent_folder(path).string())
               : "the file seems to be JSON";
  }
  return is_text(bytes) ? "the file seems to be text" : "the file does not begin with \"GGUF\"";
}

void require_gguf(const fs::path& path) {
  char bytes[512];
  const std::size_t size = File::open(path).read(bytes, sizeof bytes);
  const std::string_view begin(bytes, size);
  if (!begin.starts_with("GGUF")) {
    throw FormatError(path.string(), "magic",
                      fmt::format("{}; {}", description(path, begin), kExpected), 0);
  }
}

}  // namespace

GgufFile open_gguf_model(const fs::path& path) {
  require_gguf(path);
  return GgufFile::open(path);
}

void require_model(const fs::path& path) {
  kind_of(path) == FileKind::file ? require_gguf(path) : require_model_folder(path);
}

void require_model_folder(const fs::path& path) {
  const FileKind kind = kind_of(path);
  require<UsageError>(kind != FileKind::none, "{}: there is no such file or folder; {}",
                      path.string(), kExpected);
  require<UsageError>(kind == FileKind::folder, "{}: is neither a file nor a folder; {}",
                      path.string(), kExpected);
  if (kind_of(path / "config.json") == FileKind::file) return;
  std::vector<std::string> ggufs;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".gguf") ggufs.push_back(entry.path().filename().string());
  }
  std::ranges::sort(ggufs);
  throw UsageError(fmt::format(
      "{}: holds no config.json, so it is not a model folder{}", path.string(),
      ggufs.empty() ? fmt::format("; {}", kExpected)
                    : fmt::format("; name one of its GGUF files: {}", fmt::join(ggufs, ", "))));
}

}  // namespace stepstone
