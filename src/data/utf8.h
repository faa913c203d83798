// Checking and walking through UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace stepstone {

// Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629), if there is one.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// FormatError with the byte for text that is not well-formed; `where` is its file, or what else a
// person knows it by, and `offset` its place there.
void require_utf8(std::string_view text, std::string_view where, std::uint64_t offset = 0);

// The code point at `at` of well-formed text; moves `at` behind it.
std::uint32_t next_code_point(std::string_view text, std::size_t& at);

bool is_blank(std::string_view text);  // ASCII white space alone

}  // namespace stepstone
