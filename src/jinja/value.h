// The values of a template, with Python's meaning: what they print, compare and convert to.
// Lists and dicts never change once made, so they are shared; dicts keep the order of their keys.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/text.h"

namespace stepstone::jinja {

class Value;
class Interpreter;
struct Arguments;

// What goes wrong inside an operation; the interpreter adds where.
struct EvalError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline constexpr int kMaxValueDepth = 100;

struct None {};
// A name or attribute that is not there: prints nothing, is false, has no attributes.
struct Undefined {
  std::shared_ptr<const std::string> problem;  // what using it says
};
struct List {
  // A sequence is what map(), select() and their like give: always true, without a length.
  enum class Kind : std::uint8_t { list, tuple, sequence };
  std::vector<Value> items;
  Kind kind = Kind::list;
  int depth = 1;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};
struct Namespace;
struct Function {
  std::string name;
  std::function<Value(Interpreter&, const Arguments&)> call;
  std::function<Value(const std::string&)> attribute = nullptr;  // name.attribute, where it has any
};

class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
                   std::shared_ptr<const List>, std::shared_ptr<const Dict>,
                   std::shared_ptr<Namespace>, std::shared_ptr<const Function>>;

  Value() : data_(None{}) {}
  Value(bool value) : data_(value) {}          // NOLINT: values convert
  Value(std::int64_t value) : data_(value) {}  // NOLINT
  Value(double value) : data_(value) {}        // NOLINT
  Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}       // NOLINT
  Value(const char* text) : Value(Text(text)) {}                                   // NOLINT
  Value(Undefined undefined) : data_(std::move(undefined)) {}                      // NOLINT
  Value(std::shared_ptr<Namespace> space) : data_(std::move(space)) {}             // NOLINT
  Value(std::shared_ptr<const Function> function) : data_(std::move(function)) {}  // NOLINT

  // Throw EvalError beyond kMaxValueDepth, or for a namespace or function inside.
  static Value list(std::vector<Value> items, List::Kind kind = List::Kind::list);
  static Value dict(std::vector<std::pair<Value, Value>> items);
  static Value undefined(std::string problem);

  template <typename T>
  const T* get_if() const {
    if constexpr (std::is_same_v<T, Text> || std::is_same_v<T, List> || std::is_same_v<T, Dict> ||
                  std::is_same_v<T, Function>) {
      const auto* held = std::get_if<std::shared_ptr<const T>>(&data_);
      return held ? held->get() : nullptr;
    } else {
      return std::get_if<T>(&data_);
    }
  }
  Namespace* space() const {
    const auto* held = std::get_if<std::shared_ptr<Namespace>>(&data_);
    return held ? held->get() : nullptr;
  }
  template <typename T>
  bool is() const {
    return get_if<T>() != nullptr;
  }
  bool is_number() const { return is<bool>() || is<std::int64_t>() || is<double>(); }
  const Data& data() const { return data_; }

 private:
  Data data_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The arguments by parameter, null where not given. Throws EvalError for one too many, one given
  // twice and one of another name.
  std::vector<const Value*> bind(std::string_view function,
                                 std::initializer_list<const char*> parameters) const;
};

// From JSON. origin_of tells the origin of strings and keys.
Value from_json(const nlohmann::ordered_json& json, Origin origin);

std::string type_name(const Value& value);  // as Python names it
bool truth(const Value& value);
Text to_text(const Value& value);          // str(value)
Text to_repr(const Value& value);          // repr(value)
std::string real_to_string(double value);  // repr of a float
bool equal(const Value& a, const Value& b);
bool less(const Value& a, const Value& b, const char* op = "<");
bool contains(const Value& container, const Value& item);
// The items of a list, the keys of a dict, the characters of a string; nothing of undefined.
std::vector<Value> iterate(const Value& value);
std::int64_t length(const Value& value);
std::int64_t as_integer(const Value& value);  // a bool or integer
double as_real(const Value& value);           // any number
[[noreturn]] void use_undefined(const Undefined& undefined);

struct JsonStyle {
  std::string indent;  // of one level
  bool pretty = false;
  Text item_separator = Text(", "), key_separator = Text(": ");
  bool ascii = false, sort_keys = false;
};
// json.dumps(value).
Text to_json(const Value& value, const JsonStyle& style);

}  // namespace stepstone::jinja
