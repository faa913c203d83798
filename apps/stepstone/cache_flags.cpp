#include "cache_flags.h"

namespace stepstone::cli {

void add_cache_flags(CLI::App& verb, CacheTypes& types) {
  const auto add = [&](const char* flag, std::optional<BlockType>& type, const char* help) {
    verb.add_option_function<std::string>(
            flag, [&type](const std::string& name) { type = find_block_type(name)->type; }, help)
        ->check(CLI::IsMember({"f32", "bf16", "f16", "q8_0"}, CLI::ignore_case));
  };
  add("--cache-type-k", types.k, "What keys are kept in (also -ctk; default: the compute type)");
  add("--cache-type-v", types.v, "The same for values (also -ctv)");
}

}  // namespace stepstone::cli
