// Methods of strings, lists and dicts.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "jinja/builtins.h"
#include "jinja/interpreter.h"

namespace stepstone::jinja {
namespace {

using Bound = const std::vector<const Value*>&;

const Text& text_of(const Value& value) {
  const auto* text = value.get_if<Text>();
  if (text == nullptr) {
    if (const auto* undefined = value.get_if<Undefined>()) use_undefined(*undefined);
    throw EvalError(fmt::format("expected a string, got '{}'", type_name(value)));
  }
  return *text;
}

std::int64_t integer_or(const Value* value, std::int64_t fallback) {
  return value == nullptr ? fallback : as_integer(*value);
}

Value texts(std::vector<Text> parts, List::Kind kind = List::Kind::list) {
  std::vector<Value> items;
  for (Text& part : parts) items.emplace_back(std::move(part));
  return Value::list(std::move(items), kind);
}

Value split_text(const Text& self, Bound given, bool from_right) {
  const std::int64_t count = integer_or(given[1], -1);
  if (given[0] == nullptr || given[0]->is<None>()) {
    if (from_right && count >= 0) throw EvalError("rsplit() of spaces with a limit");
    return texts(split_spaces(self, count));
  }
  const Text& separator = text_of(*given[0]);
  if (separator.empty()) throw EvalError("empty separator");
  return texts(from_right ? split_from_right(self, separator.bytes, count)
                          : split(self, separator.bytes, count));
}

Value stripped(const Text& self, Bound given, bool left, bool right) {
  const bool spaces = given[0] == nullptr || given[0]->is<None>();
  return strip(self, left, right, spaces ? nullptr : &text_of(*given[0]).bytes);
}

bool begins_or_ends(const Text& self, const Value& affix, bool begins) {
  if (const auto* list = affix.get_if<List>()) {
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& one) { return begins_or_ends(self, one, begins); });
  }
  const std::string& part = text_of(affix).bytes;
  return begins ? self.bytes.starts_with(part) : self.bytes.ends_with(part);
}

Value find_text(const Text& self, Bound given, bool last, bool must) {
  const std::string& part = text_of(*given[0]).bytes;
  const std::size_t at = last ? self.bytes.rfind(part) : self.bytes.find(part);
  if (at == std::string::npos) {
    if (must) throw EvalError("substring not found");
    return std::int64_t{-1};
  }
  return static_cast<std::int64_t>(character_count(std::string_view(self.bytes).substr(0, at)));
}

Value partition(const Text& self, Bound given, bool last) {
  const Text& separator = text_of(*given[0]);
  if (separator.empty()) throw EvalError("empty separator");
  const std::size_t at =
      last ? self.bytes.rfind(separator.bytes) : self.bytes.find(separator.bytes);
  std::vector<Text> parts = {self, Text(), Text()};
  if (at == std::string::npos) {
    if (last) std::swap(parts[0], parts[2]);
  } else {
    parts = {self.substr(0, at), self.substr(at, separator.size()),
             self.substr(at + separator.size())};
  }
  return texts(std::move(parts), List::Kind::tuple);
}

Value count_text(const Text& self, Bound given) {
  const std::string& part = text_of(*given[0]).bytes;
  if (part.empty()) return static_cast<std::int64_t>(character_count(self.bytes)) + 1;
  std::int64_t count = 0;
  for (std::size_t at = 0; (at = self.bytes.find(part, at)) != std::string::npos;
       at += part.size()) {
    ++count;
  }
  return count;
}

template <typename F>
bool every_character(const Text& self, F&& holds) {
  for (std::size_t at = 0, length = 0; at < self.size(); at += length) {
    if (!holds(character_at(self.bytes, at, length))) return false;
  }
  return !self.empty();
}

bool is_decimal(char32_t c) { return c >= '0' && c <= '9'; }
bool is_letter(char32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

// Whether all letters are in the case of `change`, and there is one.
bool is_in_case(const Text& self, Text (*change)(const Text&)) {
  return change(self).bytes == self.bytes && upper(self).bytes != lower(self).bytes;
}

Value padded(Interpreter& interpreter, const Text& self, Bound given, bool left, bool right,
             char fill) {
  const std::int64_t width = as_integer(*given[0]);
  const auto size = static_cast<std::int64_t>(character_count(self.bytes));
  const std::int64_t missing = std::max<std::int64_t>(width - size, 0);
  interpreter.check_size(static_cast<std::uint64_t>(missing) + self.size());
  interpreter.work(static_cast<std::uint64_t>(missing) / 16);
  const std::int64_t before = left && right ? missing / 2 + (missing & width & 1)
                              : left        ? missing
                                            : 0;
  Text out(std::string(static_cast<std::size_t>(before), fill));
  out.append(self);
  out.append(std::string(static_cast<std::size_t>(missing - before), fill), kTemplateOrigin);
  return out;
}

// str.format() with {}, {0} and {name}.
Value format_braces(Interpreter& interpreter, const Text& self, const Arguments& arguments) {
  Text out;
  std::size_t next = 0;
  const std::string& bytes = self.bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    const bool doubled = at + 1 < bytes.size() && bytes[at + 1] == c;
    if (c != '{' && c != '}') {
      out.append(self.substr(at, 1));
    } else if (doubled) {
      out.append(self.substr(at++, 1));
    } else {
      const std::size_t end = c == '{' ? bytes.find('}', at) : std::string::npos;
      if (end == std::string::npos) throw EvalError("a single brace in a format string");
      const std::string field = bytes.substr(at + 1, end - at - 1);
      const bool number = field.find_first_not_of("0123456789") == std::string::npos;
      if (number && field.size() < 6) {
        const std::size_t i = field.empty() ? next++ : std::stoul(field);
        if (i >= arguments.positional.size()) throw EvalError("no argument for a format field");
        out.append(to_text(arguments.positional[i]));
      } else {
        const auto found =
            std::find_if(arguments.named.begin(), arguments.named.end(),
                         [&](const auto& argument) { return argument.first == field; });
        if (found == arguments.named.end()) {
          throw EvalError(fmt::format("no argument for the format field '{}'", field));
        }
        out.append(to_text(found->second));
      }
      at = end;
    }
    interpreter.check_size(out.size());
  }
  interpreter.work(out.size() / 16);
  return out;
}

Value joined(Interpreter& interpreter, const Text& self, Bound given) {
  Text out;
  const std::vector<Value> items = iterate(*given[0]);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(self);
    out.append(text_of(items[i]));
    interpreter.check_size(out.size());
  }
  interpreter.work(out.size() / 16 + items.size());
  return out;
}

using TextMethod = Value (*)(Interpreter&, const Text&, Bound);
struct TextEntry {
  std::string_view name;
  int required;
  std::initializer_list<const char*> parameters;
  TextMethod call;
};

const TextEntry kTextMethods[] = {
    {"upper", 0, {}, [](Interpreter&, const Text& s, Bound) -> Value { return upper(s); }},
    {"lower", 0, {}, [](Interpreter&, const Text& s, Bound) -> Value { return lower(s); }},
    {"casefold", 0, {}, [](Interpreter&, const Text& s, Bound) -> Value { return lower(s); }},
    {"title", 0, {}, [](Interpreter&, const Text& s, Bound) -> Value { return title(s); }},
    {"capitalize",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return capitalize(s); }},
    {"strip",
     0,
     {"chars"},
     [](Interpreter&, const Text& s, Bound a) { return stripped(s, a, true, true); }},
    {"lstrip",
     0,
     {"chars"},
     [](Interpreter&, const Text& s, Bound a) { return stripped(s, a, true, false); }},
    {"rstrip",
     0,
     {"chars"},
     [](Interpreter&, const Text& s, Bound a) { return stripped(s, a, false, true); }},
    {"split",
     0,
     {"sep", "maxsplit"},
     [](Interpreter&, const Text& s, Bound a) { return split_text(s, a, false); }},
    {"rsplit",
     0,
     {"sep", "maxsplit"},
     [](Interpreter&, const Text& s, Bound a) { return split_text(s, a, true); }},
    {"splitlines", 0, {}, [](Interpreter&, const Text& s, Bound) { return texts(split_lines(s)); }},
    {"startswith",
     1,
     {"prefix"},
     [](Interpreter&, const Text& s, Bound a) -> Value { return begins_or_ends(s, *a[0], true); }},
    {"endswith",
     1,
     {"suffix"},
     [](Interpreter&, const Text& s, Bound a) -> Value { return begins_or_ends(s, *a[0], false); }},
    {"replace",
     2,
     {"old", "new", "count"},
     [](Interpreter& in, const Text& s, Bound a) -> Value {
       const Text &from = text_of(*a[0]), &to = text_of(*a[1]);
       in.check_size((s.size() + 1) * (to.size() + 1));
       in.work((s.size() + 1) * (to.size() + 1) / 64);
       return replace(s, from.bytes, to, integer_or(a[2], -1));
     }},
    {"find",
     1,
     {"sub"},
     [](Interpreter&, const Text& s, Bound a) { return find_text(s, a, false, false); }},
    {"rfind",
     1,
     {"sub"},
     [](Interpreter&, const Text& s, Bound a) { return find_text(s, a, true, false); }},
    {"index",
     1,
     {"sub"},
     [](Interpreter&, const Text& s, Bound a) { return find_text(s, a, false, true); }},
    {"rindex",
     1,
     {"sub"},
     [](Interpreter&, const Text& s, Bound a) { return find_text(s, a, true, true); }},
    {"count", 1, {"sub"}, [](Interpreter&, const Text& s, Bound a) { return count_text(s, a); }},
    {"partition",
     1,
     {"sep"},
     [](Interpreter&, const Text& s, Bound a) { return partition(s, a, false); }},
    {"rpartition",
     1,
     {"sep"},
     [](Interpreter&, const Text& s, Bound a) { return partition(s, a, true); }},
    {"removeprefix",
     1,
     {"prefix"},
     [](Interpreter&, const Text& s, Bound a) -> Value {
       const Text& part = text_of(*a[0]);
       return s.bytes.starts_with(part.bytes) ? s.substr(part.size()) : s;
     }},
    {"removesuffix",
     1,
     {"suffix"},
     [](Interpreter&, const Text& s, Bound a) -> Value {
       const Text& part = text_of(*a[0]);
       return s.bytes.ends_with(part.bytes) ? s.substr(0, s.size() - part.size()) : s;
     }},
    {"isdigit",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return every_character(s, is_decimal); }},
    {"isalpha",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return every_character(s, is_letter); }},
    {"isalnum",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value {
       return every_character(s, [](char32_t c) { return is_decimal(c) || is_letter(c); });
     }},
    {"isspace",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return every_character(s, is_space); }},
    {"isupper",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return is_in_case(s, upper); }},
    {"islower",
     0,
     {},
     [](Interpreter&, const Text& s, Bound) -> Value { return is_in_case(s, lower); }},
    {"join",
     1,
     {"iterable"},
     [](Interpreter& in, const Text& s, Bound a) { return joined(in, s, a); }},
    {"ljust",
     1,
     {"width"},
     [](Interpreter& in, const Text& s, Bound a) { return padded(in, s, a, false, true, ' '); }},
    {"rjust",
     1,
     {"width"},
     [](Interpreter& in, const Text& s, Bound a) { return padded(in, s, a, true, false, ' '); }},
    {"center",
     1,
     {"width"},
     [](Interpreter& in, const Text& s, Bound a) { return padded(in, s, a, true, true, ' '); }},
    {"zfill",
     1,
     {"width"},
     [](Interpreter& in, const Text& s, Bound a) { return padded(in, s, a, true, false, '0'); }},
};

Value bound(const Value& self, const TextEntry& entry) {
  return std::make_shared<const Function>(Function{
      std::string(entry.name),
      [self, &entry](Interpreter& interpreter, const Arguments& arguments) {
        std::vector<const Value*> given;
        if (arguments.positional.size() > entry.parameters.size()) {
          throw EvalError(
              fmt::format("{}() takes at most {} arguments", entry.name, entry.parameters.size()));
        }
        given = arguments.bind(entry.name, entry.parameters);
        for (int i = 0; i < entry.required; ++i) {
          if (given[static_cast<std::size_t>(i)] == nullptr) {
            throw EvalError(
                fmt::format("{}() takes at least {} argument(s)", entry.name, entry.required));
          }
        }
        interpreter.work_on(self);
        return entry.call(interpreter, *self.get_if<Text>(), given);
      }});
}

Value dict_get(const Dict& dict, const Arguments& arguments) {
  const auto given = arguments.bind("get", {"key", "default"});
  if (given[0] == nullptr) throw EvalError("get() takes at least one argument");
  if (const Value* value = dict.find(*given[0])) return *value;
  return given[1] ? *given[1] : Value();
}

Value dict_parts(const Dict& dict, bool keys, bool values) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) {
    if (keys && values) {
      items.push_back(Value::list({key, value}, List::Kind::tuple));
    } else {
      items.push_back(keys ? key : value);
    }
  }
  return Value::list(std::move(items));
}

Value dict_method(const Value& self, const std::string& name) {
  const auto make = [&](Value (*call)(const Dict&, const Arguments&)) -> Value {
    return std::make_shared<const Function>(
        Function{name, [self, call](Interpreter& interpreter, const Arguments& arguments) {
                   const Dict& dict = *self.get_if<Dict>();
                   interpreter.work(dict.items.size());
                   return call(dict, arguments);
                 }});
  };
  if (name == "get") return make(dict_get);
  if (name == "items")
    return make([](const Dict& d, const Arguments&) { return dict_parts(d, true, true); });
  if (name == "keys")
    return make([](const Dict& d, const Arguments&) { return dict_parts(d, true, false); });
  if (name == "values")
    return make([](const Dict& d, const Arguments&) { return dict_parts(d, false, true); });
  if (name == "copy")
    return make([](const Dict& d, const Arguments&) { return Value::dict(d.items); });
  return Value::undefined("");
}

Value list_method(const Value& self, const std::string& name) {
  if (name != "index" && name != "count") return Value::undefined("");
  return std::make_shared<const Function>(Function{
      name,
      [self, index = name == "index"](Interpreter& interpreter,
                                      const Arguments& arguments) -> Value {
        const auto given = arguments.bind("index", {"value"});
        if (given[0] == nullptr) throw EvalError("a value is missing");
        interpreter.work_on(self);
        const auto& items = self.get_if<List>()->items;
        const auto same = [&](const Value& item) { return equal(item, *given[0]); };
        if (!index) {
          return static_cast<std::int64_t>(std::count_if(items.begin(), items.end(), same));
        }
        const auto found = std::find_if(items.begin(), items.end(), same);
        if (found == items.end()) throw EvalError("the value is not in the list");
        return static_cast<std::int64_t>(found - items.begin());
      }});
}

// What the sandbox keeps from a template: calling it is an error, as in Jinja.
Value refused(const Value& self, const std::string& name) {
  return std::make_shared<const Function>(
      Function{name, [type = type_name(self), name](Interpreter&, const Arguments&) -> Value {
                 throw EvalError(
                     fmt::format("access to attribute '{}' of '{}' object is unsafe: values do "
                                 "not change in a template",
                                 name, type));
               }});
}

}  // namespace

Value find_method(const Value& self, const std::string& name) {
  static const std::initializer_list<std::string_view> changing_list = {
      "append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"};
  static const std::initializer_list<std::string_view> changing_dict = {"clear", "pop", "popitem",
                                                                        "setdefault", "update"};
  const auto is_in = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (const auto* list = self.get_if<List>(); list && list->kind != List::Kind::sequence) {
    if (list->kind == List::Kind::list && is_in(changing_list)) return refused(self, name);
    return list_method(self, name);
  }
  if (self.is<Dict>()) return is_in(changing_dict) ? refused(self, name) : dict_method(self, name);
  if (!self.is<Text>()) return Value::undefined("");
  if (name == "format") {
    return std::make_shared<const Function>(
        Function{name, [self](Interpreter& interpreter, const Arguments& arguments) {
                   interpreter.work_on(self);
                   return format_braces(interpreter, *self.get_if<Text>(), arguments);
                 }});
  }
  for (const TextEntry& entry : kTextMethods) {
    if (entry.name == name) return bound(self, entry);
  }
  return Value::undefined("");
}

}  // namespace stepstone::jinja
