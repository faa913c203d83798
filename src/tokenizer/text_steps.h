// The normalizers of tokenizer.json: each turns text into text before it is cut.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace stepstone {

// How long a text may grow, and who is to blame when it does. Rules of a damaged or hostile file
// can make gigabytes of a few bytes: one after the other, each "a" may become a thousand.
struct TextLimit {
  std::string_view file, step;
  std::size_t most = ~std::size_t{0};

  // FormatError(file, step) for a text of more than `most` bytes.
  void check(std::size_t bytes) const;
};

// Text in, text out; the text is UTF-8. One of more than `most` bytes is refused while it grows, by
// a FormatError that names the step.
using TextStep = std::function<void(std::string&, std::size_t most)>;

// `change` as a step of that name. It checks the limit itself where it can make the text longer
// than twice what it was.
TextStep limited(std::string file, std::string name,
                 std::function<void(std::string&, const TextLimit&)> change);

// The steps of a "normalizer", a Sequence taken apart. Throws FormatError(file, field) for one that
// is unknown or broken.
std::vector<TextStep> read_normalizer(const Json& json, const std::string& field,
                                      const std::string& file);

// The pattern of a Replace or Split: {"String": …} or {"Regex": …}. Calls found() with the first
// and last byte of every match, left to right.
using Found = std::function<void(std::size_t begin, std::size_t end)>;
using Matcher = std::function<void(std::string_view text, const Found& found)>;
Matcher read_pattern(const Json& json, const std::string& field, const std::string& file);

// `text` with `to` for every `from`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to,
                     const TextLimit& limit = {});

// As Rust's char::is_whitespace() has it, which `tokenizers` uses.
bool is_white_space(char32_t code);

}  // namespace stepstone
