// Flags of verbs that keep keys and values, named as llama.cpp names them.
#pragma once

#include <CLI/CLI.hpp>

#include "models/transformer/kv_cache.h"

namespace stepstone::cli {

// `types` must outlive the parsing.
void add_cache_flags(CLI::App& verb, CacheTypes& types);

}  // namespace stepstone::cli
