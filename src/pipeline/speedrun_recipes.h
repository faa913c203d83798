// The recipes of the speedrun, as TOML: written into its folder, so that each half can be run
// again by hand with `stepstone train` and `stepstone tune`.
#pragma once

#include <string>

namespace stepstone {

// Pretraining on documents and chats for `minutes`.
std::string speedrun_pretrain_recipe(double minutes, std::uint64_t seed);
// Tuning on chats for `minutes`.
std::string speedrun_tune_recipe(double minutes, std::uint64_t seed);

}  // namespace stepstone
