#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "jinja/builtins.h"
#include "jinja/interpreter.h"

namespace stepstone::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view op, const Value& a, const Value& b) {
  throw EvalError(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a),
                              type_name(b)));
}

[[noreturn]] void too_large() { throw EvalError("an integer beyond 64 bits"); }

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) too_large();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) too_large();
  }
  return result;
}

// Rounds towards minus infinity, as Python does.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == 0) throw EvalError("integer division or modulo by zero");
  if (b == -1) {
    if (a == INT64_MIN) too_large();
    return -a;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

Value integer_arithmetic(char op, bool twice, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case '+':
      if (__builtin_add_overflow(a, b, &result)) too_large();
      return result;
    case '-':
      if (__builtin_sub_overflow(a, b, &result)) too_large();
      return result;
    case '*':
      if (twice) {
        if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
        return power(a, b);
      }
      if (__builtin_mul_overflow(a, b, &result)) too_large();
      return result;
    case '/':
      if (twice) return floor_divide(a, b);
      if (b == 0) throw EvalError("division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    default:
      return b == -1 ? std::int64_t{0} : a - floor_divide(a, b) * b;
  }
}

Value real_arithmetic(char op, bool twice, double a, double b) {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return twice ? std::pow(a, b) : a * b;
    default:
      break;
  }
  if (b == 0) throw EvalError("float division by zero");
  if (op == '/') return twice ? std::floor(a / b) : a / b;
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value repeated(Interpreter& interpreter, const Value& value, std::int64_t count) {
  count = std::max<std::int64_t>(count, 0);
  const auto size = static_cast<std::uint64_t>(
      value.is<Text>() ? value.get_if<Text>()->size() : value.get_if<List>()->items.size());
  std::uint64_t total = 0;
  if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(count), &total)) total = ~0ull;
  interpreter.check_size(total);
  interpreter.work(value.is<Text>() ? total / 16 : total);
  if (const auto* text = value.get_if<Text>()) {
    Text out;
    for (std::int64_t i = 0; i < count && size > 0; ++i) out.append(*text);
    return out;
  }
  const List& list = *value.get_if<List>();
  std::vector<Value> items;
  for (std::int64_t i = 0; i < count && size > 0; ++i) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return Value::list(std::move(items), list.kind);
}

bool is_sequence(const Value& value) {
  const auto* list = value.get_if<List>();
  return value.is<Text>() || (list != nullptr && list->kind != List::Kind::sequence);
}
bool is_integer(const Value& value) { return value.is<bool>() || value.is<std::int64_t>(); }

Value add_sequences(Interpreter& interpreter, const Value& a, const Value& b) {
  const auto *left = a.get_if<Text>(), *right = b.get_if<Text>();
  if (left != nullptr && right != nullptr) {
    interpreter.check_size(left->size() + right->size());
    interpreter.work((left->size() + right->size()) / 16);
    Text out = *left;
    out.append(*right);
    return out;
  }
  const auto *first = a.get_if<List>(), *second = b.get_if<List>();
  if (first != nullptr && second != nullptr && first->kind == second->kind) {
    interpreter.work(first->items.size() + second->items.size());
    std::vector<Value> items = first->items;
    items.insert(items.end(), second->items.begin(), second->items.end());
    return Value::list(std::move(items), first->kind);
  }
  if (left != nullptr) {
    throw EvalError(fmt::format("can only concatenate str (not \"{}\") to str", type_name(b)));
  }
  unsupported("+", a, b);
}

// Where `index` of a sequence of `size` is, counted from the end when negative; -1 for nowhere.
std::int64_t place_of(std::int64_t index, std::int64_t size) {
  if (index < 0) index += size;
  return index >= 0 && index < size ? index : -1;
}

Value no_item(const Value& object, const Value& key) {
  if (key.is<Text>()) {
    return Value::undefined(
        fmt::format("'{} object' has no attribute {}", type_name(object), to_repr(key).bytes));
  }
  return Value::undefined(
      fmt::format("{} object has no element {}", type_name(object), to_repr(key).bytes));
}

// One %d, %s… of a format with its value.
Text formatted(char kind, const std::string& flags, int precision, const Value& value) {
  if (kind == 's' || kind == 'r') {
    Text text = kind == 's' ? to_text(value) : to_repr(value);
    if (precision >= 0) {
      const auto offsets = character_offsets(text.bytes);
      text = text.substr(0, offsets[std::min<std::size_t>(precision, offsets.size() - 1)]);
    }
    return text;
  }
  char buffer[512];
  if (kind == 'd' || kind == 'i' || kind == 'x' || kind == 'X' || kind == 'o') {
    if (!value.is_number()) {
      throw EvalError(
          fmt::format("%{} format: a real number is required, not {}", kind, type_name(value)));
    }
    const long long whole = value.is<double>() ? static_cast<long long>(as_real(value))
                                               : static_cast<long long>(as_integer(value));
    std::snprintf(buffer, sizeof buffer, (flags + "ll" + kind).c_str(), whole);
  } else {
    std::snprintf(buffer, sizeof buffer, (flags + kind).c_str(), as_real(value));
  }
  return buffer;
}

}  // namespace

Value arithmetic(Interpreter& interpreter, std::string_view op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = value->get_if<Undefined>()) use_undefined(*undefined);
  }
  const bool twice = op.size() == 2;
  if (is_integer(a) && is_integer(b)) {
    return integer_arithmetic(op[0], twice, as_integer(a), as_integer(b));
  }
  if (a.is_number() && b.is_number()) return real_arithmetic(op[0], twice, as_real(a), as_real(b));
  if (op == "+" && (is_sequence(a) || is_sequence(b))) return add_sequences(interpreter, a, b);
  if (op == "*" && is_sequence(a) && is_integer(b)) return repeated(interpreter, a, as_integer(b));
  if (op == "*" && is_sequence(b) && is_integer(a)) return repeated(interpreter, b, as_integer(a));
  if (op == "%" && a.is<Text>()) return format_percent(*a.get_if<Text>(), b);
  unsupported(op, a, b);
}

Text format_percent(const Text& format, const Value& arguments) {
  const auto* list = arguments.get_if<List>();
  const bool many = list != nullptr && list->kind == List::Kind::tuple;
  std::size_t used = 0;
  const auto next = [&]() -> const Value& {
    if (used >= (many ? list->items.size() : 1)) {
      throw EvalError("not enough arguments for format string");
    }
    ++used;
    return many ? list->items[used - 1] : arguments;
  };
  Text out;
  const std::string& bytes = format.bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] != '%') {
      out.append(format.substr(at, 1));
      continue;
    }
    std::size_t end = at + 1;
    const std::size_t flags_end = bytes.find_first_not_of("0123456789.-+ ", end);
    if (flags_end == std::string::npos) throw EvalError("incomplete format");
    const std::string flags = bytes.substr(end, flags_end - end);
    end = flags_end;
    const char kind = bytes[end];
    if (kind == '%') {
      out.append("%", format.origin[at]);
    } else if (std::string_view("sdrixXofFeEgG").find(kind) == std::string_view::npos ||
               flags.size() > 5) {
      throw EvalError(fmt::format("unsupported format '%{}{}'", flags, kind));
    } else {
      const std::size_t dot = flags.find('.');
      const int precision = dot == std::string::npos ? -1 : std::atoi(flags.c_str() + dot + 1);
      if (precision > 99 || std::abs(std::atoi(flags.c_str())) > 99) {
        throw EvalError("a format with a width above 99");
      }
      out.append(formatted(kind, "%" + flags, precision, next()));
    }
    at = end;
  }
  if (many && used != list->items.size()) {
    throw EvalError("not all arguments converted during string formatting");
  }
  return out;
}

Value get_attribute(const Value& object, const std::string& name) {
  if (const auto* undefined = object.get_if<Undefined>()) use_undefined(*undefined);
  if (const auto* function = object.get_if<Function>(); function && function->attribute) {
    return function->attribute(name);
  }
  if (const Namespace* space = object.space()) {
    for (const auto& [known, value] : space->items) {
      if (known == name) return value;
    }
  }
  const Value method = find_method(object, name);
  if (!method.is<Undefined>()) return method;
  if (const auto* dict = object.get_if<Dict>()) {
    if (const Value* value = dict->find(name)) return *value;
  }
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

Value get_item(const Value& object, const Value& key) {
  if (const auto* undefined = object.get_if<Undefined>()) use_undefined(*undefined);
  if (const auto* dict = object.get_if<Dict>()) {
    if (const Value* value = dict->find(key)) return *value;
    if (const auto* name = key.get_if<Text>()) {
      const Value method = find_method(object, name->bytes);
      if (!method.is<Undefined>()) return method;
    }
    return no_item(object, key);
  }
  if (is_integer(key) && is_sequence(object)) {
    const std::int64_t at = place_of(as_integer(key), length(object));
    if (at < 0) return no_item(object, key);
    if (const auto* list = object.get_if<List>()) return list->items[static_cast<std::size_t>(at)];
    const Text& text = *object.get_if<Text>();
    const auto offsets = character_offsets(text.bytes);
    const auto i = static_cast<std::size_t>(at);
    return text.substr(offsets[i], offsets[i + 1] - offsets[i]);
  }
  if (const auto* name = key.get_if<Text>()) return get_attribute(object, name->bytes);
  return no_item(object, key);
}

Value get_slice(const Value& object, const Value& first, const Value& last, const Value& step) {
  if (const auto* undefined = object.get_if<Undefined>()) use_undefined(*undefined);
  if (!is_sequence(object)) return no_item(object, "slice");
  const std::int64_t size = length(object);
  const std::int64_t stride = step.is<None>() ? 1 : as_integer(step);
  if (stride == 0) throw EvalError("slice step cannot be zero");
  const std::int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
  const auto bound = [&](const Value& value, std::int64_t missing) {
    if (value.is<None>()) return missing;
    std::int64_t at = as_integer(value);
    if (at < 0) at = at < -size ? -1 - size : at + size;  // far below stays below
    return std::clamp(at, low, high);
  };
  const std::int64_t begin = bound(first, stride > 0 ? low : high);
  const std::int64_t end = bound(last, stride > 0 ? high : low);
  const auto* text = object.get_if<Text>();
  const auto offsets = text ? character_offsets(text->bytes) : std::vector<std::size_t>();
  if (text != nullptr && stride == 1) {
    return end <= begin ? Value("")
                        : Value(text->substr(offsets[static_cast<std::size_t>(begin)],
                                             offsets[static_cast<std::size_t>(end)] -
                                                 offsets[static_cast<std::size_t>(begin)]));
  }
  Text out;
  std::vector<Value> items;
  for (std::int64_t at = begin; stride > 0 ? at < end : at > end;) {
    const auto i = static_cast<std::size_t>(at);
    if (text != nullptr) {
      out.append(text->substr(offsets[i], offsets[i + 1] - offsets[i]));
    } else {
      items.push_back(object.get_if<List>()->items[i]);
    }
    if (__builtin_add_overflow(at, stride, &at)) break;
  }
  if (text != nullptr) return out;
  return Value::list(std::move(items), object.get_if<List>()->kind);
}

}  // namespace stepstone::jinja
