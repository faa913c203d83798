// A tokenizer as people and command lines see it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// "gpt2", "cl100k", "llama3" (which is cl100k) or "qwen2". Throws UsageError for any other.
Pattern parse_pattern(std::string_view name);

// Numbers between spaces, commas, line breaks and brackets. Throws UsageError for anything else.
std::vector<std::int32_t> parse_ids(std::string_view text);

// In double quotes, line breaks and other bytes that cannot be shown as escapes.
std::string quoted(std::string_view bytes);

// Kind, size, pattern, control tokens and their roles, lengths.
Json tokenizer_info(const Tokenizer& tokenizer);
// The same for people.
std::string info_table(const Json& info);

}  // namespace stepstone
