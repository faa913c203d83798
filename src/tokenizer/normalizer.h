// Unicode normalization form C, which some tokenizers (Qwen2) apply before splitting.
#pragma once

#include <string>
#include <string_view>

namespace stepstone {

// True for text made only of characters that form C leaves alone wherever they stand: a quick look
// that spares most text the work. Bytes that are not UTF-8 are left alone too.
bool is_surely_composed(std::string_view text);

// Form C of the well-formed stretches of `text` (Unicode version of utf8proc); other bytes as they
// are.
std::string compose(std::string_view text);

}  // namespace stepstone
