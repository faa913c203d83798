#include "data/readers.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cstring>
#include <optional>
#include <utility>

#include "core/error.h"
#include "data/utf8.h"
#include "io/compress.h"
#include "io/json.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// A window on a stream: the bytes that are read and not yet used, with room for simdjson's
// over-reading behind them.
class Window {
 public:
  explicit Window(const fs::path& path) : stream_(open_input(path)) {
    more();
    if (view().starts_with(kByteOrderMark)) use(kByteOrderMark.size());
  }

  std::string_view view() const { return {buffer_.data() + begin_, end_ - begin_}; }
  bool at_end() const { return ended_; }
  std::uint64_t offset() const { return offset_; }  // of view() in the unpacked file

  void use(std::size_t bytes) {
    begin_ += bytes;
    offset_ += bytes;
  }

  // Appends the next chunk of the stream to view().
  void more() {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    // Doubling keeps the copies of a long line linear.
    const std::size_t wanted = std::max(kChunk, end_);
    if (buffer_.size() < end_ + wanted + simdjson::SIMDJSON_PADDING) {
      buffer_.resize(end_ + wanted + simdjson::SIMDJSON_PADDING);
    }
    const std::size_t got = stream_->read(buffer_.data() + end_, wanted);
    end_ += got;
    ended_ = got < wanted;
  }

 private:
  std::unique_ptr<InputStream> stream_;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t offset_ = 0;
  bool ended_ = false;
};

std::string_view trim_lines(std::string_view text) {
  const std::size_t first = text.find_first_not_of("\r\n");
  return text.substr(first, text.find_last_not_of("\r\n") + 1 - first);
}

}  // namespace

std::string read_text(const fs::path& path) {
  Window window(path);
  while (!window.at_end()) window.more();
  require_utf8(window.view(), path.string(), window.offset());
  return std::string(window.view());
}

class DocumentReader::Source {
 public:
  explicit Source(const fs::path& path, const ReaderOptions& options)
      : path_(path.string()), options_(options), window_(path) {}
  virtual ~Source() = default;
  virtual bool next(Document& document) = 0;
  virtual std::string where() const = 0;

 protected:
  std::string path_;
  ReaderOptions options_;
  Window window_;
};

class DocumentReader::TextSource : public Source {
 public:
  using Source::Source;

  bool next(Document& document) override {
    while (!(window_.at_end() && window_.view().empty())) {
      const auto [length, gap] = find_end();
      const std::string_view text = window_.view().substr(0, length);
      const bool blank = is_blank(text);
      if (!blank) {
        require_utf8(text, path_, window_.offset());
        document.text = options_.text_split == TextSplit::blank_lines ? trim_lines(text) : text;
      }
      window_.use(length + gap);
      if (!blank) return true;
    }
    return false;
  }

  std::string where() const override { return path_; }

 private:
  struct End {
    std::size_t length, gap;  // of the document and of what separates it from the next
  };

  // Reads on until the document's end is in view.
  End find_end() {
    std::size_t searched = 0;
    for (;;) {
      const std::string_view view = window_.view();
      if (const auto end = find_end_in(view, searched)) return *end;
      if (window_.at_end()) return {view.size(), 0};
      if (view.size() > options_.max_document_bytes) {
        throw FormatError(
            path_, "text",
            fmt::format("a document is longer than {} bytes", options_.max_document_bytes),
            window_.offset());
      }
      searched = view.size();
      window_.more();
    }
  }

  // `searched` bytes are known to hold no complete separator.
  std::optional<End> find_end_in(std::string_view view, std::size_t searched) const {
    if (options_.text_split == TextSplit::file) return std::nullopt;
    if (options_.text_split == TextSplit::separator) {
      const std::string& separator = options_.separator;
      const std::size_t from = searched < separator.size() ? 0 : searched - separator.size();
      const std::size_t at = view.find(separator, from);
      if (at == std::string_view::npos) return std::nullopt;
      return End{at, separator.size()};
    }
    // A blank line: a newline, white space without one, a newline.
    std::size_t from = searched;
    while (from > 0 && std::strchr(" \t\r\n", view[from - 1]) != nullptr) --from;
    for (std::size_t at = view.find('\n', from); at != std::string_view::npos;
         at = view.find('\n', at + 1)) {
      const std::size_t next = view.find_first_not_of(" \t\r", at + 1);
      if (next == std::string_view::npos) return std::nullopt;
      if (view[next] == '\n') return End{at, next + 1 - at};
    }
    return std::nullopt;
  }
};

class DocumentReader::JsonLinesSource : public Source {
 public:
  using Source::Source;

  bool next(Document& document) override {
    for (;;) {
      const std::optional<std::size_t> length = find_line();
      if (!length) return false;
      ++line_;
      const std::string_view line = window_.view().substr(0, *length);
      const bool blank = is_blank(line);
      if (!blank) parse(line, document);
      window_.use(std::min(*length + 1, window_.view().size()));
      if (!blank && (document.is_chat() || !is_blank(document.text))) return true;
    }
  }

  std::string where() const override { return fmt::format("{}:{}", path_, line_); }

 private:
  // Length of the next line without its newline; nothing at the end.
  std::optional<std::size_t> find_line() {
    std::size_t searched = 0;
    for (;;) {
      const std::string_view view = window_.view();
      const std::size_t newline = view.find('\n', searched);
      const std::size_t length = std::min(newline, view.size());
      if (length > options_.max_line_bytes) {
        throw FormatError(fmt::format("{}:{}", path_, line_ + 1), "line",
                          fmt::format("is longer than {} bytes", options_.max_line_bytes),
                          window_.offset());
      }
      if (newline != std::string_view::npos) return newline;
      if (window_.at_end()) return view.empty() ? std::nullopt : std::optional(view.size());
      searched = view.size();
      window_.more();
    }
  }

  [[noreturn]] void fail(std::string_view field, std::string_view problem) const {
    throw FormatError(where(), field, problem);
  }

  std::string_view text_of(const simdjson::dom::element& value, std::string_view field) const {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) fail(field, "is not a string");
    return text;
  }

  void parse(std::string_view line, Document& document) {
    require_utf8(line, where(), window_.offset());
    simdjson::dom::element root;
    // The window keeps simdjson's padding behind every line.
    const auto error = parser_.parse(line.data(), line.size(), false).get(root);
    if (error != simdjson::SUCCESS) {
      // The slower parser says what is wrong, and where in the line.
      parse_json(line, where(), {.max_bytes = options_.max_line_bytes});
      fail("JSON", fmt::format("does not parse: {}", simdjson::error_message(error)));
    }
    simdjson::dom::object object;
    if (root.get_object().get(object) != simdjson::SUCCESS) fail("JSON", "is not an object");
    document.clear();
    bool has_text = false, has_messages = false;
    for (const auto& [key, value] : object) {
      if (key == "text") {
        if (std::exchange(has_text, true)) fail("text", "is there twice");
        document.text = text_of(value, "text");
      } else if (key == "messages") {
        if (std::exchange(has_messages, true)) fail("messages", "is there twice");
        parse_messages(value, document);
      }
    }
    if (has_text == has_messages) {
      fail("text", has_text ? "stands beside \"messages\"; a document has one of the two"
                            : "is missing, and so is \"messages\"");
    }
  }

  void parse_messages(const simdjson::dom::element& value, Document& document) const {
    simdjson::dom::array list;
    if (value.get_array().get(list) != simdjson::SUCCESS) fail("messages", "is not an array");
    for (const simdjson::dom::element& entry : list) {
      const std::string field = fmt::format("messages[{}]", document.messages.size());
      simdjson::dom::object object;
      if (entry.get_object().get(object) != simdjson::SUCCESS) fail(field, "is not an object");
      simdjson::dom::element role, content;
      if (object["role"].get(role) != simdjson::SUCCESS) fail(field + ".role", "is missing");
      if (object["content"].get(content) != simdjson::SUCCESS) {
        fail(field + ".content", "is missing");
      }
      Message message{std::string(text_of(role, field + ".role")),
                      std::string(text_of(content, field + ".content"))};
      if (message.role != "system" && message.role != "user" && message.role != "assistant") {
        fail(field + ".role",
             fmt::format("is \"{}\", not system, user or assistant", message.role));
      }
      document.messages.push_back(std::move(message));
    }
    if (document.messages.empty()) fail("messages", "is empty");
  }

  simdjson::dom::parser parser_;
  std::int64_t line_ = 0;
};

TextSplit parse_text_split(std::string_view text) {
  if (text == "separator") return TextSplit::separator;
  if (text == "file") return TextSplit::file;
  if (text == "blank-lines") return TextSplit::blank_lines;
  throw UsageError(
      fmt::format("'{}' is no way to split text (choose from: separator, file, "
                  "blank-lines)",
                  text));
}

DocumentReader::DocumentReader(std::vector<fs::path> files, const ReaderOptions& options)
    : files_(std::move(files)), options_(options) {
  require<UsageError>(options.text_split != TextSplit::separator || !options.separator.empty(),
                      "the separator between documents is empty");
}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;

bool DocumentReader::open_next_file() {
  if (next_file_ == files_.size()) return false;
  const fs::path& path = files_[next_file_++];
  fs::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name.replace_extension();
  if (name.extension() == ".jsonl") {
    source_ = std::make_unique<JsonLinesSource>(path, options_);
  } else {
    source_ = std::make_unique<TextSource>(path, options_);
  }
  return true;
}

bool DocumentReader::next(Document& document) {
  for (;;) {
    document.clear();
    if (source_ && source_->next(document)) {
      ++documents_;
      return true;
    }
    if (open_next_file()) continue;
    require<UsageError>(documents_ > 0, "{}: the corpus is empty: {} file{}, no document",
                        files_.empty() ? "corpus" : files_.front().string(), files_.size(),
                        files_.size() == 1 ? "" : "s");
    source_.reset();
    return false;
  }
}

std::int64_t DocumentReader::documents() const { return documents_; }
std::string DocumentReader::where() const { return source_ ? source_->where() : ""; }

}  // namespace stepstone
