// Documents out of text and JSONL files.
//
//   .txt     one document per file, or several between separators or blank lines
//   .jsonl   one JSON object per line with "text", or with "messages": [{"role", "content"}, …]
//
// each plain, gzip or zstd (.gz, .zst). All text must be UTF-8; a byte order mark is dropped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/chat_template.h"

namespace stepstone {

enum class TextSplit : std::uint8_t {
  separator,    // at each ReaderOptions::separator; a file without one is one document
  file,         // one document per file
  blank_lines,  // at lines that hold nothing but white space
};
// "separator", "file" or "blank-lines"; UsageError otherwise.
TextSplit parse_text_split(std::string_view text);

struct ReaderOptions {
  TextSplit text_split = TextSplit::separator;
  std::string separator = "<|endoftext|>";
  // A longer line of a .jsonl file, or document of a .txt file, is refused.
  std::uint64_t max_line_bytes = std::uint64_t{64} << 20;
  std::uint64_t max_document_bytes = std::uint64_t{1} << 30;
};

// Either text or messages.
struct Document {
  std::string text;
  std::vector<Message> messages;

  bool is_chat() const { return !messages.empty(); }
  void clear() {
    text.clear();
    messages.clear();
  }
};

// Every file that `patterns` name: files, folders (with all .txt and .jsonl files below them,
// hidden ones left out) and globs; in the order given, by name within a folder or glob, each file
// once. UsageError for a pattern that names nothing, or a file of another kind.
std::vector<std::filesystem::path> find_corpus_files(std::span<const std::string> patterns);

// All of a file as it is, plain or packed, without a byte order mark. FormatError names the byte
// that is not UTF-8.
std::string read_text(const std::filesystem::path& path);

// Reads documents one after another. Documents of white space alone are left out.
class DocumentReader {
 public:
  explicit DocumentReader(std::vector<std::filesystem::path> files,
                          const ReaderOptions& options = {});
  ~DocumentReader();
  DocumentReader(DocumentReader&&) noexcept;

  // False at the end. FormatError names "file:line", the field and what is wrong: bad JSON, a
  // missing or mistyped field, an unknown role, invalid UTF-8, a line that is too long. UsageError
  // when all the files together held no document.
  bool next(Document& document);

  std::int64_t documents() const;  // read so far
  // "file" or "file:line" of the document that was read last.
  std::string where() const;

 private:
  class Source;
  class TextSource;
  class JsonLinesSource;

  bool open_next_file();

  std::vector<std::filesystem::path> files_;
  ReaderOptions options_;
  std::size_t next_file_ = 0;
  std::unique_ptr<Source> source_;
  std::int64_t documents_ = 0;
};

}  // namespace stepstone
