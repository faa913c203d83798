// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stepstone {

// Bytes of the character that `text` begins with: 1 to 4, or 0 when it begins with none.
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

// Characters of valid UTF-8: the bytes that begin one.
std::size_t utf8_characters(std::string_view text);

// `text` with U+FFFD for every maximal run of bytes that begins, but does not finish, a character
// (Unicode 15, section 3.9, "substitution of maximal subparts"). For showing, never for storing.
std::string to_utf8_lossy(std::string_view text);

// Bytes of `text` before a character that its end cuts in two; all of it when there is none.
std::size_t utf8_whole_prefix(std::string_view text);

}  // namespace stepstone
