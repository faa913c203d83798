// Standard output, with its failures noticed.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "core/error.h"
#include "core/note.h"

namespace stepstone::cli {

// Whoever read standard output has gone, as `head` does: no failure to speak of. main() ends
// without a word, with exit status 1.
class OutputClosed : public IoError {
 public:
  OutputClosed() : IoError("write", "standard output", EPIPE) {}
};

// For work that writes late or seldom: whether standard output is a pipe without a reader.
inline bool output_is_closed() {
  pollfd out{STDOUT_FILENO, 0, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

// Writes now, so that a reader at the other end sees text as it comes. Throws IoError.
inline void put_out(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw OutputClosed();
  throw IoError("write", "standard output", errno);
}

}  // namespace stepstone::cli
