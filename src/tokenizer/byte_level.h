// GPT-2's spelling of bytes as printable characters, in which vocabulary files name their tokens:
// visible Latin-1 characters stand for themselves, the other 68 bytes for U+0100 to U+0143 in
// order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stepstone {

std::string to_byte_level(std::string_view bytes);

// Nothing when `spelled` has a character that stands for no byte.
std::optional<std::string> from_byte_level(std::string_view spelled);

}  // namespace stepstone
