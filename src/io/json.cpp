#include "io/json.h"

#include <array>
#include <charconv>
#include <utility>

#include "io/file.h"

namespace stepstone {
namespace {

// Builds the document from parse events on an explicit stack, and refuses what the limits forbid.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view file, const JsonLimits& limits) : file_(file), limits_(limits) {}

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
    if (!added) fail("duplicate key");
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.…] parse error at line 1, column 2: syntax error while …"
    std::string why = error.what();
    if (const auto cut = why.find("] "); cut != std::string::npos) why.erase(0, cut + 2);
    throw FormatError(file_, path(), why, limits_.first_byte + position);
  }

 private:
  Json* add(Json&& value, bool) {
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
    return result.empty() ? "JSON" : result;
  }

  [[noreturn]] void fail(std::string_view problem) const {
    throw FormatError(file_, path(), problem);
  }

  std::string_view file_;
  JsonLimits limits_;
  Json root_;
  // The containers that are open, and the key (empty in an array) under which each stands. Pointers
  // stay valid: only the innermost container grows, and it holds none of the others.
  std::vector<Json*> stack_;
  std::vector<std::string> names_;
  std::string key_;
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
  Builder builder(file, limits);
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
  } catch (const Json::type_error& error) {
    throw UsageError(fmt::format("JSON cannot be written: {}", error.what()));
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
