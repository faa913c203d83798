// The functions that every template has.
#include <fmt/format.h>

#include <map>

#include "jinja/interpreter.h"

namespace stepstone::jinja {
namespace {

constexpr std::int64_t kMaxRange = 100000;  // as in Jinja's sandbox

Value range(Interpreter& interpreter, const Arguments& arguments) {
  const auto given = arguments.bind("range", {"start", "stop", "step"});
  if (given[0] == nullptr) throw EvalError("range() takes at least one argument");
  const std::int64_t begin = given[1] ? as_integer(*given[0]) : 0;
  const std::int64_t end = as_integer(given[1] ? *given[1] : *given[0]);
  const std::int64_t step = given[2] ? as_integer(*given[2]) : 1;
  if (step == 0) throw EvalError("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (static_cast<std::int64_t>(items.size()) >= kMaxRange) {
      throw EvalError(
          fmt::format("Range too big. The sandbox blocks ranges larger than {}.", kMaxRange));
    }
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  interpreter.work(items.size());
  return Value::list(std::move(items));
}

// dict(mapping, name=value, …)
std::vector<std::pair<Value, Value>> pairs_of(const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> pairs;
  if (arguments.positional.size() > 1) throw EvalError("expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const auto* dict = arguments.positional[0].get_if<Dict>();
    if (dict == nullptr) throw EvalError("expected a mapping");
    pairs = dict->items;
  }
  for (const auto& [name, value] : arguments.named) {
    bool known = false;
    for (auto& [key, old] : pairs) {
      if (!equal(key, Text(name))) continue;
      old = value;
      known = true;
    }
    if (!known) pairs.emplace_back(Text(name), value);
  }
  return pairs;
}

Value make_namespace(Interpreter&, const Arguments& arguments) {
  auto space = std::make_shared<Namespace>();
  const Value checked = Value::dict(pairs_of(arguments));  // refuses functions and namespaces
  for (const auto& [key, value] : checked.get_if<Dict>()->items) {
    const std::string name = to_text(key).bytes;
    if (name.starts_with('_')) {
      throw EvalError("a namespace cannot hold names that begin with an underscore");
    }
    space->items.emplace_back(name, value);
  }
  return space;
}

Value joiner(Interpreter&, const Arguments& arguments) {
  const auto given = arguments.bind("joiner", {"sep"});
  const Value separator = given[0] ? *given[0] : Value(", ");
  return std::make_shared<const Function>(Function{
      "joiner",
      [separator, used = std::make_shared<bool>(false)](Interpreter&, const Arguments&) -> Value {
        if (std::exchange(*used, true)) return separator;
        return "";
      }});
}

Value raise_exception(Interpreter& interpreter, const Arguments& arguments) {
  const auto given = arguments.bind("raise_exception", {"message"});
  interpreter.refuse(given[0] ? to_text(*given[0]).bytes : "");
}

Value strftime_now(Interpreter& interpreter, const Arguments& arguments) {
  const auto given = arguments.bind("strftime_now", {"format"});
  if (given[0] == nullptr || !given[0]->is<Text>()) {
    throw EvalError("strftime_now() takes one string");
  }
  const Text& format = *given[0]->get_if<Text>();
  if (format.empty()) return "";
  std::tm time{};
  const std::time_t now = interpreter.now();
  localtime_r(&now, &time);
  char buffer[1024];
  const std::size_t size = std::strftime(buffer, sizeof buffer, format.bytes.c_str(), &time);
  return Text(std::string_view(buffer, size), format.origin[0]);
}

Value function(const char* name, Value (*call)(Interpreter&, const Arguments&)) {
  return std::make_shared<const Function>(Function{name, call});
}

}  // namespace

const Value* find_global(const std::string& name) {
  static const std::map<std::string, Value> globals = {
      {"range", function("range", range)},
      {"dict", function("dict",
                        [](Interpreter&, const Arguments& arguments) {
                          return Value::dict(pairs_of(arguments));
                        })},
      {"namespace", function("namespace", make_namespace)},
      {"joiner", function("joiner", joiner)},
      {"raise_exception", function("raise_exception", raise_exception)},
      {"strftime_now", function("strftime_now", strftime_now)},
  };
  const auto found = globals.find(name);
  return found == globals.end() ? nullptr : &found->second;
}

}  // namespace stepstone::jinja
