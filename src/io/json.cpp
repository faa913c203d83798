#include "io/json.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "io/file.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

// What nlohmann-json says of a string or number that is none, and what we say.
struct Malformed {
  std::string_view theirs, ours;
};
constexpr Malformed kMalformed[] = {
    {"missing closing quote", "a string without its closing quote"},
    {"ill-formed UTF-8", "a string that is not UTF-8"},
    {"control character", "a control character in a string, which must be escaped"},
    {"surrogate", "half of a surrogate pair"},
    {"backslash", "an unknown escape in a string"},
    {"hex digits", "an escape \\u without its four digits"},
    {"number overflow", "a number beyond the range of a double"},
    {"invalid number", "a malformed number"},
    {"invalid BOM", "a damaged byte order mark"},
};

// Bytes of the input that a token has: control characters are written out in it, as <U+0000>.
std::size_t token_length(std::string_view token) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < token.size(); ++length) i += token.substr(i, 3) == "<U+" ? 8 : 1;
  return length;
}

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) || byte >= 0x80 || c == '+' || c == '-' || c == '.' || c == '_';
}

// Where the token lies that ends at or before byte `read` and was not expected there.
std::pair<std::size_t, std::size_t> faulty_token(std::string_view text, std::size_t read) {
  const auto word_before = [&](std::size_t end) {
    std::size_t begin = end;
    while (begin > 0 && is_word(text[begin - 1])) --begin;
    return begin;
  };
  if (read == 0) return {0, 0};
  std::size_t begin = word_before(read), end = read;
  if (begin == read) {
    // A character that is no word: it may have cut short a literal before it, as in "tru}".
    const std::size_t word = word_before(read - 1);
    const bool cut_literal =
        word < read - 1 && std::isalpha(static_cast<unsigned char>(text[word]));
    if (!cut_literal) return {read - 1, read};
    begin = word;
    end = read - 1;
  }
  while (end < text.size() && is_word(text[end])) ++end;
  return {begin, end};
}

// The string that ends before byte `read`, if one does.
std::optional<std::size_t> string_before(std::string_view text, std::size_t read) {
  if (read < 2 || text[read - 1] != '"') return std::nullopt;
  const auto begin = text.find_last_of('"', read - 2);
  return begin == std::string_view::npos ? std::nullopt : std::optional(begin);
}

std::string shortened(std::string_view token) {
  constexpr std::size_t kMost = 24;
  return token.size() <= kMost ? to_utf8_lossy(token) : to_utf8_lossy(token.substr(0, kMost)) + "…";
}

// Builds the document from parse events on an explicit stack, and refuses what the limits forbid.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, std::string_view file, const JsonLimits& limits)
      : text_(text), file_(file), limits_(limits) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto [place, added] = stack_.back()->get_ref<Json::object_t&>().try_emplace(name, nullptr);
    slot_ = &place->second;
    key_ = name;
    after_key_ = true;
    if (!added) fail("duplicate key");
    return true;
  }

  // `position`: bytes read, the faulty token among them.
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    const std::size_t read = std::min(position, text_.size());
    for (const Malformed& m : kMalformed) {
      if (std::string_view(error.what()).find(m.theirs) == std::string::npos) continue;
      complain(std::string(m.ours), read - std::min(read, token_length(token)));
    }
    const bool ended = position > text_.size() || text_.find_last_not_of(kBlank) + 1 < read;
    auto [begin, end] = faulty_token(text_, read);
    if (const auto start = string_before(text_, read)) begin = *start;
    if (ended) begin = end = text_.size();
    const std::string found =
        ended ? "but the text ends"
              : fmt::format("found '{}'", shortened(text_.substr(begin, end - begin)));
    complain(fmt::format("expected {}, {}", expected_at(begin), found), begin);
  }

 private:
  [[noreturn]] void complain(const std::string& problem, std::size_t offset) const {
    std::string line;
    if (text_.find('\n') != std::string_view::npos) {
      const auto end = text_.begin() + static_cast<std::ptrdiff_t>(offset);
      line = fmt::format("line {}: ", 1 + std::count(text_.begin(), end, '\n'));
    }
    throw FormatError(file_, path(), line + problem, limits_.first_byte + offset);
  }

  std::string_view expected_at(std::size_t offset) const {
    const auto before = text_.substr(0, offset).find_last_not_of(kBlank);
    const char last = before == std::string_view::npos ? '\0' : text_[before];
    const bool in_object = !stack_.empty() && stack_.back()->is_object();
    if (stack_.empty()) return values_ == 0 ? "a value" : "the end of the text";
    if (last == ':') return "a value";
    if (last == '[') return "a value or ']'";
    if (last == '{') return "a key in quotes or '}'";
    if (last == ',') return in_object ? "a key in quotes" : "a value";
    if (in_object && after_key_) return "':'";
    return in_object ? "',' or '}'" : "',' or ']'";
  }

  Json* add(Json&& value, bool) {
    after_key_ = false;
    if (++values_ > limits_.max_values) {
      fail(fmt::format("more than {} values", limits_.max_values));
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      auto& array = stack_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }

  bool add(Json&& value) { return add(std::move(value), true) != nullptr; }

  bool open(Json&& empty) {
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      fail(fmt::format("nested deeper than {}", limits_.max_depth));
    }
    Json* place = add(std::move(empty), true);
    names_.push_back(key_);
    stack_.push_back(place);
    key_.clear();
    return true;
  }

  bool close() {
    stack_.pop_back();
    key_ = std::move(names_.back());
    names_.pop_back();
    return true;
  }

  // Keys from the root to here, joined by dots; array positions in brackets.
  std::string path() const {
    std::string result;
    for (std::size_t i = 1; i <= stack_.size(); ++i) {
      const std::string& name = i < stack_.size() ? names_[i] : key_;
      if (stack_[i - 1]->is_array()) {
        result += fmt::format("[{}]", std::max<std::size_t>(stack_[i - 1]->size(), 1) - 1);
      } else if (!name.empty()) {
        result += (result.empty() ? "" : ".") + name;
      }
    }
    constexpr std::size_t kMost = 120;
    if (result.size() > kMost)
      result = result.substr(0, utf8_whole_prefix(result.substr(0, kMost))) + "…";
    return result.empty() ? "JSON" : result;
  }

  [[noreturn]] void fail(std::string_view problem) const {
    throw FormatError(file_, path(), problem);
  }

  std::string_view text_, file_;
  JsonLimits limits_;
  Json root_;
  // The containers that are open, and the key (empty in an array) under which each stands. Pointers
  // stay valid: only the innermost container grows, and it holds none of the others.
  std::vector<Json*> stack_;
  std::vector<std::string> names_;
  std::string key_;
  bool after_key_ = false;
  Json* slot_ = nullptr;
  std::uint64_t values_ = 0;
};

// Whether `value` nests deeper than `limit`, by levels rather than by recursion.
bool deeper_than(const Json& value, int limit) {
  std::vector<const Json*> level{&value};
  for (int depth = 0; !level.empty(); ++depth) {
    std::vector<const Json*> next;
    for (const Json* item : level) {
      if (!item->is_structured()) continue;
      if (depth >= limit) return true;
      for (const Json& child : *item) next.push_back(&child);
    }
    level = std::move(next);
  }
  return false;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view file, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw FormatError(
        file, "JSON",
        fmt::format("{} bytes, more than the limit of {}", text.size(), limits.max_bytes));
  }
  // The lexer takes a NUL for the end of the input and would ignore what follows it.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    throw FormatError(file, "JSON", "NUL byte", limits.first_byte + nul);
  }
  if (is_lfs_pointer(text)) throw FormatError(file, "JSON", kLfsProblem);
  Builder builder(text, file, limits);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.max_bytes), path.string(), limits);
}

std::string dump_json(const Json& value, int indent) {
  const int limit = JsonLimits{}.max_depth;
  require<UsageError>(!deeper_than(value, limit), "JSON nested deeper than {} cannot be written",
                      limit);
  try {
    return value.dump(indent);
  } catch (const Json::type_error&) {
    throw UsageError("JSON cannot be written: a string is not UTF-8");
  }
}

double shortest_decimal(float value) {
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  double number = 0;
  std::from_chars(digits.data(), end, number);
  return number;
}

const Json* find_field(const Json& object, std::string_view field) {
  if (field.starts_with('/')) {
    try {
      const Json::json_pointer pointer{std::string(field)};
      return object.contains(pointer) ? &object.at(pointer) : nullptr;
    } catch (const Json::exception&) {
      return nullptr;
    }
  }
  if (!object.is_object()) return nullptr;
  const auto found = object.find(field);
  return found == object.end() ? nullptr : &*found;
}

namespace json_detail {

void wrong_type(const Json& value, std::string_view expected, std::string_view file,
                std::string_view field) {
  throw FormatError(file, field, fmt::format("expected {}, got {}", expected, value.type_name()));
}

void out_of_range(const Json& value, std::string_view file, std::string_view field) {
  throw FormatError(file, field, fmt::format("{} is out of range", value.dump()));
}

}  // namespace json_detail
}  // namespace stepstone
