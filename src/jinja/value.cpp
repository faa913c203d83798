#include "jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace stepstone::jinja {
namespace {

int depth_of(const Value& value) {
  if (const auto* list = value.get_if<List>()) return list->depth;
  if (const auto* dict = value.get_if<Dict>()) return dict->depth;
  if (value.space() != nullptr || value.is<Function>()) {
    throw EvalError("a namespace or function cannot be kept inside another value");
  }
  return 0;
}

int checked_depth(int inner) {
  if (inner >= kMaxValueDepth) {
    throw EvalError(fmt::format("values nest more than {} deep", kMaxValueDepth));
  }
  return inner + 1;
}

// A number's value, where a bool counts as 0 or 1.
struct Number {
  bool integer = true;
  std::int64_t whole = 0;
  double real = 0;
};
Number number_of(const Value& value) {
  if (const auto* real = value.get_if<double>()) return {false, 0, *real};
  const std::int64_t whole =
      value.is<bool>() ? *value.get_if<bool>() : *value.get_if<std::int64_t>();
  return {true, whole, static_cast<double>(whole)};
}

bool equal_lists(const List& a, const List& b) {
  return a.kind == b.kind &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), equal);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  return a.items.size() == b.items.size() &&
         std::all_of(a.items.begin(), a.items.end(), [&](const auto& item) {
           const Value* other = b.find(item.first);
           return other != nullptr && equal(item.second, *other);
         });
}

void append_quoted(const Text& text, Text& out) {
  const bool twice =
      text.bytes.find('\'') != std::string::npos && text.bytes.find('"') == std::string::npos;
  const char quote = twice ? '"' : '\'';
  out.append({&quote, 1}, kTemplateOrigin);
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = character_at(text.bytes, at, length);
    const Origin origin = text.origin[at];
    if (code == '\n') {
      out.append("\\n", origin);
    } else if (code == '\r') {
      out.append("\\r", origin);
    } else if (code == '\t') {
      out.append("\\t", origin);
    } else if (code == '\\' || code == static_cast<char32_t>(quote)) {
      out.append("\\", origin);
      out.append(text.substr(at, length));
    } else if (code < 0x20 || (code >= 0x7F && code <= 0xA0) || code == 0xAD) {
      out.append(fmt::format("\\x{:02x}", static_cast<unsigned>(code)), origin);
    } else if (is_space(code) && code != ' ') {
      out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(code)), origin);
    } else {
      out.append(text.substr(at, length));
    }
  }
  out.append({&quote, 1}, kTemplateOrigin);
}

void append_items(const List& list, Text& out) {
  const bool tuple = list.kind == List::Kind::tuple;
  out.append(tuple ? "(" : "[");
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ");
    out.append(to_repr(list.items[i]));
  }
  if (tuple && list.items.size() == 1) out.append(",");
  out.append(tuple ? ")" : "]");
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  for (const auto& [name, value] : items) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    const auto* text = name.get_if<Text>();
    if (text != nullptr && text->bytes == key) return &value;
  }
  return nullptr;
}

Value Value::list(std::vector<Value> items, List::Kind kind) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  Value value;
  value.data_ = std::make_shared<const List>(
      List{.items = std::move(items), .kind = kind, .depth = checked_depth(depth)});
  return value;
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  int depth = 0;
  for (const auto& [key, item] : items) depth = std::max(depth, depth_of(item));
  Value value;
  value.data_ =
      std::make_shared<const Dict>(Dict{.items = std::move(items), .depth = checked_depth(depth)});
  return value;
}

Value Value::undefined(std::string problem) {
  return Undefined{std::make_shared<const std::string>(std::move(problem))};
}

std::vector<const Value*> Arguments::bind(std::string_view function,
                                          std::initializer_list<const char*> parameters) const {
  if (positional.size() > parameters.size()) {
    throw EvalError(fmt::format("{}() takes at most {} arguments, got {}", function,
                                parameters.size(), positional.size()));
  }
  std::vector<const Value*> bound(parameters.size(), nullptr);
  for (std::size_t i = 0; i < positional.size(); ++i) bound[i] = &positional[i];
  for (const auto& [name, value] : named) {
    const auto* const at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end()) {
      throw EvalError(fmt::format("{}() has no argument \"{}\"", function, name));
    }
    const Value*& slot = bound[static_cast<std::size_t>(at - parameters.begin())];
    if (slot != nullptr) throw EvalError(fmt::format("{}() got \"{}\" twice", function, name));
    slot = &value;
  }
  return bound;
}

Value from_json(const nlohmann::ordered_json& json, Origin origin) {
  if (json.is_null()) return {};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned()) {
    const auto number = json.get<std::uint64_t>();
    if (std::in_range<std::int64_t>(number)) return static_cast<std::int64_t>(number);
    return static_cast<double>(number);
  }
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return Text(json.get_ref<const std::string&>(), origin);
  if (json.is_array()) {
    std::vector<Value> items;
    for (const auto& item : json) items.push_back(from_json(item, origin));
    return Value::list(std::move(items));
  }
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, item] : json.items()) {
    items.emplace_back(Text(key, origin), from_json(item, origin));
  }
  return Value::dict(std::move(items));
}

std::string type_name(const Value& value) {
  static constexpr const char* kNames[] = {"Undefined", "NoneType", "bool", "int",
                                           "float",     "str",      "list", "dict",
                                           "Namespace", "function"};
  if (const auto* list = value.get_if<List>()) {
    if (list->kind == List::Kind::tuple) return "tuple";
    if (list->kind == List::Kind::sequence) return "generator";
  }
  return kNames[value.data().index()];
}

void use_undefined(const Undefined& undefined) { throw EvalError(*undefined.problem); }

bool truth(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) return false;
  if (const auto* flag = value.get_if<bool>()) return *flag;
  if (const auto* whole = value.get_if<std::int64_t>()) return *whole != 0;
  if (const auto* real = value.get_if<double>()) return *real != 0;
  if (const auto* text = value.get_if<Text>()) return !text->empty();
  if (const auto* list = value.get_if<List>()) {
    return list->kind == List::Kind::sequence || !list->items.empty();
  }
  if (const auto* dict = value.get_if<Dict>()) return !dict->items.empty();
  return true;
}

// Shortest digits that read back the same; an exponent below 1e-4 and from 1e16 on.
std::string real_to_string(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer - 1, value, std::chars_format::scientific);
  const std::string_view text(buffer, scientific.ptr - buffer);
  const std::size_t e = text.find('e');
  *scientific.ptr = '\0';
  const int exponent = std::atoi(text.data() + e + 1);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed = std::to_chars(buffer, std::end(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

Text to_text(const Value& value) {
  if (const auto* text = value.get_if<Text>()) return *text;
  if (value.is<Undefined>()) return {};
  return to_repr(value);
}

Text to_repr(const Value& value) {
  if (value.is<Undefined>()) return "Undefined";
  if (value.is<None>()) return "None";
  if (const auto* flag = value.get_if<bool>()) return *flag ? "True" : "False";
  if (const auto* whole = value.get_if<std::int64_t>()) return fmt::format("{}", *whole);
  if (const auto* real = value.get_if<double>()) return real_to_string(*real);
  Text out;
  if (const auto* text = value.get_if<Text>()) {
    append_quoted(*text, out);
  } else if (const auto* list = value.get_if<List>()) {
    append_items(*list, out);
  } else if (const auto* dict = value.get_if<Dict>()) {
    out.append("{");
    for (std::size_t i = 0; i < dict->items.size(); ++i) {
      if (i > 0) out.append(", ");
      out.append(to_repr(dict->items[i].first));
      out.append(": ");
      out.append(to_repr(dict->items[i].second));
    }
    out.append("}");
  } else if (const Namespace* space = value.space()) {
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [name, item] : space->items) items.emplace_back(Text(name), item);
    out.append("<Namespace ");
    out.append(to_repr(Value::dict(std::move(items))));
    out.append(">");
  } else {
    out.append(fmt::format("<function {}>", value.get_if<Function>()->name));
  }
  return out;
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const Number x = number_of(a), y = number_of(b);
    return x.integer && y.integer ? x.whole == y.whole : x.real == y.real;
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.is<Undefined>() || a.is<None>()) return true;
  if (const auto* text = a.get_if<Text>()) return text->bytes == b.get_if<Text>()->bytes;
  if (const auto* list = a.get_if<List>()) return equal_lists(*list, *b.get_if<List>());
  if (const auto* dict = a.get_if<Dict>()) return equal_dicts(*dict, *b.get_if<Dict>());
  if (a.space() != nullptr) return a.space() == b.space();
  return a.get_if<Function>() == b.get_if<Function>();
}

bool less(const Value& a, const Value& b, const char* op) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = value->get_if<Undefined>()) use_undefined(*undefined);
  }
  if (a.is_number() && b.is_number()) {
    const Number x = number_of(a), y = number_of(b);
    return x.integer && y.integer ? x.whole < y.whole : x.real < y.real;
  }
  if (a.is<Text>() && b.is<Text>()) return a.get_if<Text>()->bytes < b.get_if<Text>()->bytes;
  const auto *left = a.get_if<List>(), *right = b.get_if<List>();
  if (left != nullptr && right != nullptr && left->kind == right->kind &&
      left->kind != List::Kind::sequence) {
    for (std::size_t i = 0; i < left->items.size() && i < right->items.size(); ++i) {
      if (!equal(left->items[i], right->items[i])) {
        return less(left->items[i], right->items[i], op);
      }
    }
    return left->items.size() < right->items.size();
  }
  throw EvalError(fmt::format("'{}' not supported between instances of '{}' and '{}'", op,
                              type_name(a), type_name(b)));
}

bool contains(const Value& container, const Value& item) {
  if (const auto* text = container.get_if<Text>()) {
    const auto* part = item.get_if<Text>();
    if (part == nullptr) {
      throw EvalError(
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
    }
    return text->bytes.find(part->bytes) != std::string::npos;
  }
  if (const auto* dict = container.get_if<Dict>()) return dict->find(item) != nullptr;
  if (const auto* list = container.get_if<List>()) {
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& one) { return equal(one, item); });
  }
  if (container.is<Undefined>()) return false;
  throw EvalError(fmt::format("argument of type '{}' is not iterable", type_name(container)));
}

std::vector<Value> iterate(const Value& value) {
  if (const auto* list = value.get_if<List>()) return list->items;
  std::vector<Value> items;
  if (const auto* dict = value.get_if<Dict>()) {
    for (const auto& item : dict->items) items.push_back(item.first);
  } else if (const auto* text = value.get_if<Text>()) {
    const auto offsets = character_offsets(text->bytes);
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
      items.emplace_back(text->substr(offsets[i], offsets[i + 1] - offsets[i]));
    }
  } else if (!value.is<Undefined>()) {
    throw EvalError(fmt::format("'{}' object is not iterable", type_name(value)));
  }
  return items;
}

std::int64_t length(const Value& value) {
  const auto* list = value.get_if<List>();
  if (list != nullptr && list->kind != List::Kind::sequence) {
    return static_cast<std::int64_t>(list->items.size());
  }
  if (const auto* dict = value.get_if<Dict>()) return static_cast<std::int64_t>(dict->items.size());
  if (const auto* text = value.get_if<Text>()) {
    return static_cast<std::int64_t>(character_count(text->bytes));
  }
  if (value.is<Undefined>()) return 0;
  throw EvalError(fmt::format("object of type '{}' has no len()", type_name(value)));
}

std::int64_t as_integer(const Value& value) {
  if (const auto* undefined = value.get_if<Undefined>()) use_undefined(*undefined);
  if (!value.is<bool>() && !value.is<std::int64_t>()) {
    throw EvalError(
        fmt::format("'{}' object cannot be interpreted as an integer", type_name(value)));
  }
  return number_of(value).whole;
}

double as_real(const Value& value) {
  if (const auto* undefined = value.get_if<Undefined>()) use_undefined(*undefined);
  if (!value.is_number()) {
    throw EvalError(fmt::format("must be a number, not {}", type_name(value)));
  }
  return number_of(value).real;
}

}  // namespace stepstone::jinja
