// Synthetic corpora as files.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/synth.h"

namespace stepstone {

struct SynthAmount {
  // Whatever is reached first; at least one must be given (above zero).
  std::int64_t documents = 0;
  std::int64_t bytes = 0;  // of text (of message contents), before JSON and compression
};

struct SynthWritten {
  std::int64_t documents = 0, bytes = 0;
};

// Writes {"text"} lines, or {"messages"} lines for chats, to a .jsonl file, compressed when its
// name ends in .gz or .zst. The bytes written do not depend on the number of threads. Throws
// UsageError for an amount of nothing or a name that is not .jsonl, and IoError.
SynthWritten write_synth_documents(const std::filesystem::path& path, const Synth& synth,
                                   Split split, SynthAmount amount);
SynthWritten write_synth_chats(const std::filesystem::path& path, const Synth& synth, Split split,
                               SynthAmount amount);

}  // namespace stepstone
