// The tests of `x is …`.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "jinja/builtins.h"

namespace stepstone::jinja {
namespace {

using Args = const Arguments&;

const Value& argument(Args arguments, std::string_view name) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    throw EvalError(fmt::format("the test '{}' takes one argument", name));
  }
  return arguments.positional[0];
}

bool is_integer(const Value& value) { return value.is<std::int64_t>(); }

bool modulo_is(const Value& value, std::int64_t divisor, std::int64_t rest) {
  const std::int64_t whole = as_integer(value);
  if (divisor == 0) throw EvalError("integer modulo by zero");
  return divisor == -1 || ((whole % divisor) + divisor) % divisor == rest;
}

bool is_iterable(const Value& value) {
  return value.is<Undefined>() || value.is<Text>() || value.is<List>() || value.is<Dict>();
}

bool all_same(const Value& value, Text (*change)(const Text&)) {
  const Text text = to_text(value);
  return change(text).bytes == text.bytes && upper(text).bytes != lower(text).bytes;
}

bool same_as(const Value& a, const Value& b) {
  return a.data().index() == b.data().index() && equal(a, b);
}

struct Entry {
  std::string_view name;
  Test test;
};

constexpr Entry kTests[] = {
    {"boolean", [](Interpreter&, const Value& v, Args) { return v.is<bool>(); }},
    {"callable", [](Interpreter&, const Value& v, Args) { return v.is<Function>(); }},
    {"defined", [](Interpreter&, const Value& v, Args) { return !v.is<Undefined>(); }},
    {"undefined", [](Interpreter&, const Value& v, Args) { return v.is<Undefined>(); }},
    {"none", [](Interpreter&, const Value& v, Args) { return v.is<None>(); }},
    {"true", [](Interpreter&, const Value& v, Args) { return v.is<bool>() && truth(v); }},
    {"false", [](Interpreter&, const Value& v, Args) { return v.is<bool>() && !truth(v); }},
    {"string", [](Interpreter&, const Value& v, Args) { return v.is<Text>(); }},
    {"mapping", [](Interpreter&, const Value& v, Args) { return v.is<Dict>(); }},
    {"number", [](Interpreter&, const Value& v, Args) { return v.is_number(); }},
    {"integer", [](Interpreter&, const Value& v, Args) { return is_integer(v); }},
    {"float", [](Interpreter&, const Value& v, Args) { return v.is<double>(); }},
    {"iterable", [](Interpreter&, const Value& v, Args) { return is_iterable(v); }},
    {"sequence",
     [](Interpreter&, const Value& v, Args) {
       const auto* list = v.get_if<List>();
       return is_iterable(v) && (list == nullptr || list->kind != List::Kind::sequence);
     }},
    {"escaped", [](Interpreter&, const Value&, Args) { return false; }},
    {"lower", [](Interpreter&, const Value& v, Args) { return all_same(v, lower); }},
    {"upper", [](Interpreter&, const Value& v, Args) { return all_same(v, upper); }},
    {"odd", [](Interpreter&, const Value& v, Args) { return modulo_is(v, 2, 1); }},
    {"even", [](Interpreter&, const Value& v, Args) { return modulo_is(v, 2, 0); }},
    {"divisibleby", [](Interpreter&, const Value& v,
                       Args a) { return modulo_is(v, as_integer(argument(a, "divisibleby")), 0); }},
    {"sameas",
     [](Interpreter&, const Value& v, Args a) { return same_as(v, argument(a, "sameas")); }},
    {"in", [](Interpreter&, const Value& v, Args a) { return contains(argument(a, "in"), v); }},
    {"eq", [](Interpreter&, const Value& v, Args a) { return equal(v, argument(a, "eq")); }},
    {"ne", [](Interpreter&, const Value& v, Args a) { return !equal(v, argument(a, "ne")); }},
    {"lt", [](Interpreter&, const Value& v, Args a) { return less(v, argument(a, "lt")); }},
    {"gt", [](Interpreter&, const Value& v, Args a) { return less(argument(a, "gt"), v, ">"); }},
    {"le", [](Interpreter&, const Value& v,
              Args a) { return less(v, argument(a, "le"), "<=") || equal(v, a.positional[0]); }},
    {"ge", [](Interpreter&, const Value& v,
              Args a) { return less(argument(a, "ge"), v, ">=") || equal(v, a.positional[0]); }},
    {"filter",
     [](Interpreter&, const Value& v, Args) { return find_filter(to_text(v).bytes) != nullptr; }},
    {"test",
     [](Interpreter&, const Value& v, Args) { return find_test(to_text(v).bytes) != nullptr; }},
};

constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
    {"equalto", "eq"}, {"==", "eq"}, {"!=", "ne"},          {"<", "lt"}, {"lessthan", "lt"},
    {"<=", "le"},      {">", "gt"},  {"greaterthan", "gt"}, {">=", "ge"}};

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [other, usual] : kOtherNames) {
    if (name == other) name = usual;
  }
  const auto* const found = std::find_if(std::begin(kTests), std::end(kTests),
                                         [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kTests) ? nullptr : found->test;
}

}  // namespace stepstone::jinja
