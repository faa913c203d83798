#include "data/synth_files.h"

#include "core/error.h"
#include "core/threads.h"
#include "io/compress.h"
#include "io/json.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

struct Line {
  std::string json;
  std::size_t bytes = 0;
};

void check(const fs::path& path, SynthAmount amount) {
  require<UsageError>(amount.documents > 0 || amount.bytes > 0,
                      "synth: say how much: a number of documents or of bytes");
  fs::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name.replace_extension();
  require<UsageError>(name.extension() == ".jsonl",
                      "{}: synthetic text is written as .jsonl (or .jsonl.gz, .jsonl.zst)",
                      path.string());
}

// make(index) gives the index-th line.
template <typename Make>
SynthWritten write_lines(const fs::path& path, SynthAmount amount, Make&& make) {
  check(path, amount);
  constexpr std::int64_t kBlock = 4096;
  const auto out = open_output(path);
  SynthWritten written;
  std::vector<Line> lines(kBlock);
  const auto enough = [&] {
    return (amount.documents > 0 && written.documents >= amount.documents) ||
           (amount.bytes > 0 && written.bytes >= amount.bytes);
  };
  for (std::int64_t first = 0; !enough(); first += kBlock) {
    parallel_for(kBlock, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        lines[static_cast<std::size_t>(i)] = make(static_cast<std::uint64_t>(first + i));
      }
    });
    for (const Line& line : lines) {
      if (enough()) break;
      out->write(line.json);
      ++written.documents;
      written.bytes += static_cast<std::int64_t>(line.bytes);
    }
  }
  out->commit();
  return written;
}

}  // namespace

SynthWritten write_synth_documents(const fs::path& path, const Synth& synth, Split split,
                                   SynthAmount amount) {
  return write_lines(path, amount, [&](std::uint64_t index) {
    std::string text = synth.document(split, index);
    const std::size_t bytes = text.size();
    return Line{dump_json({{"text", std::move(text)}}) + "\n", bytes};
  });
}

SynthWritten write_synth_chats(const fs::path& path, const Synth& synth, Split split,
                               SynthAmount amount) {
  return write_lines(path, amount, [&](std::uint64_t index) {
    Json messages = Json::array();
    std::size_t bytes = 0;
    for (Message& message : synth.chat(split, index)) {
      bytes += message.content.size();
      messages.push_back(
          {{"role", std::move(message.role)}, {"content", std::move(message.content)}});
    }
    return Line{dump_json({{"messages", std::move(messages)}}) + "\n", bytes};
  });
}

}  // namespace stepstone
