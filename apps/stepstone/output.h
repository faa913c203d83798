// Standard output, with its failures noticed.
#pragma once

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "core/error.h"

namespace stepstone::cli {

// Writes now, so that a reader at the other end sees text as it comes. Throws IoError.
inline void put_out(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) throw IoError("write", "standard output", errno);
}

inline void put_note(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace stepstone::cli
