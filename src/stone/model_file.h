// What a person named as a model, when it is none: what it seems to be, and what is expected.
#pragma once

#include <filesystem>

#include "io/gguf.h"

namespace stepstone {

// GgufFile::open, but a file of another format is a FormatError(field "magic") that says which.
GgufFile open_gguf_model(const std::filesystem::path& path);

// Throws what the two others throw for a path that cannot be a model, without reading one.
void require_model(const std::filesystem::path& path);

// Throws UsageError unless `path` is a folder with a config.json.
void require_model_folder(const std::filesystem::path& path);

}  // namespace stepstone
