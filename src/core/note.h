#pragma once

#include <cstdio>
#include <string_view>

namespace stepstone {

// Says something on standard error. Nobody may be listening: that is no reason to stop, and
// fmt::print would throw.
inline void put_note(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace stepstone
