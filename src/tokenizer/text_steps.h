// The normalizers of tokenizer.json: each turns text into text before it is cut.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/json.h"

namespace stepstone {

// Text in, text out; the text is UTF-8.
using TextStep = std::function<void(std::string&)>;

// The steps of a "normalizer", a Sequence taken apart. Throws FormatError(file, field) for one that
// is unknown or broken.
std::vector<TextStep> read_normalizer(const Json& json, const std::string& field,
                                      const std::string& file);

// The pattern of a Replace or Split: {"String": …} or {"Regex": …}. Gives the first and last byte
// of every match, left to right.
using Matcher = std::function<std::vector<std::pair<std::size_t, std::size_t>>(std::string_view)>;
Matcher read_pattern(const Json& json, const std::string& field, const std::string& file);

// `text` with `to` for every `from`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

// As Rust's char::is_whitespace() has it, which `tokenizers` uses.
bool is_white_space(char32_t code);

}  // namespace stepstone
