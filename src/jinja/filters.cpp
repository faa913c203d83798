#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "jinja/builtins.h"
#include "jinja/interpreter.h"

namespace stepstone::jinja {
namespace {

using In = Interpreter&;
using Subject = const Value&;
using Args = const Arguments&;

// Values that a filter says come one after another have no length and cannot be indexed.
Value sequence(std::vector<Value> items) {
  return Value::list(std::move(items), List::Kind::sequence);
}
bool flag(const Value* value, bool fallback) { return value ? truth(*value) : fallback; }
std::int64_t integer(const Value* value, std::int64_t fallback) {
  return value && !value->is<None>() ? as_integer(*value) : fallback;
}

// a.b.0 of a value, as `attribute=` arguments name it.
Value attribute_path(const Value& value, const Value& path, const Value* fallback = nullptr) {
  Value at = value;
  if (path.is<std::int64_t>()) {
    at = get_item(at, path);
  } else {
    for (const Text& part : split(to_text(path), ".", -1)) {
      const bool number =
          !part.empty() && part.bytes.find_first_not_of("0123456789") == std::string::npos;
      at = number && part.size() < 10 ? get_item(at, std::int64_t{std::stol(part.bytes)})
                                      : get_item(at, part);
      if (at.is<Undefined>() && fallback != nullptr) return *fallback;
    }
  }
  return at;
}

// What sort, unique, min… compare: an attribute, and strings in lower case unless told otherwise.
Value key_of(const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute && !attribute->is<None>() ? attribute_path(item, *attribute) : item;
  if (!case_sensitive) {
    if (const auto* text = key.get_if<Text>()) return lower(*text);
  }
  return key;
}

Value do_join(In in, Subject value, Args args) {
  const auto given = args.bind("join", {"d", "attribute"});
  const Text separator = given[0] ? to_text(*given[0]) : Text();
  Text out;
  bool first = true;
  for (const Value& item : iterate(value)) {
    if (!first) out.append(separator);
    first = false;
    out.append(to_text(given[1] ? attribute_path(item, *given[1]) : item));
    in.check_size(out.size());
  }
  in.work(out.size() / 16);
  return out;
}

Value do_default(In, Subject value, Args args) {
  const auto given = args.bind("default", {"default_value", "boolean"});
  const bool replaced = value.is<Undefined>() || (flag(given[1], false) && !truth(value));
  return !replaced ? value : given[0] ? *given[0] : Value("");
}

Value do_replace(In in, Subject value, Args args) {
  const auto given = args.bind("replace", {"old", "new", "count"});
  if (!given[0] || !given[1]) throw EvalError("replace needs what to replace and by what");
  const Text text = to_text(value), to = to_text(*given[1]);
  in.check_size((text.size() + 1) * (to.size() + 1));
  in.work((text.size() + 1) * (to.size() + 1) / 64);
  return replace(text, to_text(*given[0]).bytes, to, integer(given[2], -1));
}

Value do_trim(In, Subject value, Args args) {
  const auto given = args.bind("trim", {"chars"});
  const bool spaces = !given[0] || given[0]->is<None>();
  const std::string characters = spaces ? std::string() : to_text(*given[0]).bytes;
  return strip(to_text(value), true, true, spaces ? nullptr : &characters);
}

Value do_indent(In in, Subject value, Args args) {
  const auto given = args.bind("indent", {"width", "first", "blank"});
  const bool text_width = given[0] && given[0]->is<Text>();
  const std::int64_t width = text_width ? 0 : std::max<std::int64_t>(integer(given[0], 4), 0);
  in.check_size(static_cast<std::uint64_t>(width));
  const Text indention = text_width ? *given[0]->get_if<Text>()
                                    : Text(std::string(static_cast<std::size_t>(width), ' '));
  Text source = to_text(value);
  source.append("\n");  // so that a last empty line counts
  const auto lines = split_lines(source);
  in.check_size(source.size() + lines.size() * (indention.size() + 1));
  in.work((source.size() + lines.size() * (indention.size() + 1)) / 16);
  Text out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i == 0 ? flag(given[1], false) : flag(given[2], false) || !lines[i].empty()) {
      out.append(indention);
    }
    out.append(lines[i]);
  }
  return out;
}

Value do_first(In, Subject value, Args) {
  const auto items = iterate(value);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}
Value do_last(In, Subject value, Args) {
  const auto items = iterate(value);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value do_items(In, Subject value, Args) {
  if (value.is<Undefined>()) return sequence({});
  const auto* dict = value.get_if<Dict>();
  if (dict == nullptr) throw EvalError("Can only get item pairs from a mapping.");
  std::vector<Value> items;
  for (const auto& [key, item] : dict->items) {
    items.push_back(Value::list({key, item}, List::Kind::tuple));
  }
  return sequence(std::move(items));
}

void stable_sort_by(In in, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  in.work(keyed.size() * 16);
  std::stable_sort(keyed.begin(), keyed.end(), [reverse](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
}

Value do_sort(In in, Subject value, Args args) {
  const auto given = args.bind("sort", {"reverse", "case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : iterate(value)) {
    Value key = key_of(item, given[2], flag(given[1], false));
    keyed.emplace_back(std::move(key), std::move(item));
  }
  stable_sort_by(in, keyed, flag(given[0], false));
  std::vector<Value> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items));
}

Value do_dictsort(In in, Subject value, Args args) {
  const auto given = args.bind("dictsort", {"case_sensitive", "by", "reverse"});
  const auto* dict = value.get_if<Dict>();
  if (dict == nullptr) throw EvalError("dictsort needs a mapping");
  const bool by_value = given[1] && to_text(*given[1]).bytes == "value";
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : dict->items) {
    keyed.emplace_back(key_of(by_value ? item : key, nullptr, flag(given[0], false)),
                       Value::list({key, item}, List::Kind::tuple));
  }
  stable_sort_by(in, keyed, flag(given[2], false));
  std::vector<Value> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items));
}

Value do_unique(In in, Subject value, Args args) {
  const auto given = args.bind("unique", {"case_sensitive", "attribute"});
  std::vector<Value> keys, items;
  for (Value& item : iterate(value)) {
    Value key = key_of(item, given[1], flag(given[0], false));
    in.work(keys.size() / 8 + 1);
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& k) { return equal(k, key); })) {
      continue;
    }
    keys.push_back(std::move(key));
    items.push_back(std::move(item));
  }
  return sequence(std::move(items));
}

Value do_groupby(In in, Subject value, Args args) {
  const auto given = args.bind("groupby", {"attribute", "default", "case_sensitive"});
  if (!given[0]) throw EvalError("groupby needs an attribute");
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : iterate(value)) {
    Value key = attribute_path(item, *given[0], given[1]);
    keyed.emplace_back(key_of(key, nullptr, flag(given[2], false)), std::move(item));
  }
  stable_sort_by(in, keyed, false);
  std::vector<Value> groups;
  for (std::size_t i = 0; i < keyed.size();) {
    std::vector<Value> members;
    const std::size_t begin = i;
    for (; i < keyed.size() && equal(keyed[i].first, keyed[begin].first); ++i) {
      members.push_back(keyed[i].second);
    }
    groups.push_back(Value::list(
        {attribute_path(members[0], *given[0], given[1]), Value::list(std::move(members))},
        List::Kind::tuple));
  }
  return Value::list(std::move(groups));
}

Value extreme(Subject value, Args args, bool largest) {
  const auto given = args.bind(largest ? "max" : "min", {"case_sensitive", "attribute"});
  const auto items = iterate(value);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  for (std::size_t i = 1; i < items.size(); ++i) {
    const Value key = key_of(items[i], given[1], flag(given[0], false));
    const Value best_key = key_of(items[best], given[1], flag(given[0], false));
    if (largest ? less(best_key, key) : less(key, best_key)) best = i;
  }
  return items[best];
}

Value do_sum(In in, Subject value, Args args) {
  const auto given = args.bind("sum", {"attribute", "start"});
  Value total = given[1] ? *given[1] : Value(std::int64_t{0});
  for (const Value& item : iterate(value)) {
    total = arithmetic(in, "+", total,
                       given[0] && !given[0]->is<None>() ? attribute_path(item, *given[0]) : item);
  }
  return total;
}

Value do_map(In in, Subject value, Args args) {
  std::vector<Value> items;
  if (args.positional.empty()) {
    const auto given = args.bind("map", {"attribute", "default"});
    if (!given[0]) throw EvalError("map requires a filter argument");
    for (const Value& item : iterate(value)) {
      items.push_back(attribute_path(item, *given[0], given[1]));
    }
    return sequence(std::move(items));
  }
  const std::string name = to_text(args.positional[0]).bytes;
  const Filter filter = find_filter(name);
  if (filter == nullptr) throw EvalError(fmt::format("No filter named '{}'.", name));
  const Arguments rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
  for (const Value& item : iterate(value)) {
    in.work_on(item);
    items.push_back(filter(in, item, rest));
  }
  return sequence(std::move(items));
}

// select, reject, selectattr and rejectattr.
Value choose(In in, Subject value, Args args, bool keep, bool by_attribute) {
  std::size_t used = 0;
  const auto next = [&]() -> const Value* {
    return used < args.positional.size() ? &args.positional[used++] : nullptr;
  };
  const Value* attribute = by_attribute ? next() : nullptr;
  if (by_attribute && !attribute) throw EvalError("missing parameter for attribute name");
  const Value* name = next();
  const Test test = name ? find_test(to_text(*name).bytes) : nullptr;
  if (name && !test) throw EvalError(fmt::format("No test named '{}'.", to_text(*name).bytes));
  const Arguments rest{
      {args.positional.begin() + static_cast<std::ptrdiff_t>(used), args.positional.end()},
      args.named};
  std::vector<Value> items;
  for (Value& item : iterate(value)) {
    in.work_on(item);
    const Value subject = attribute ? attribute_path(item, *attribute) : item;
    if ((test ? test(in, subject, rest) : truth(subject)) == keep) items.push_back(std::move(item));
  }
  return sequence(std::move(items));
}

// The number that a text spells for Python's int() or float().
std::optional<double> real_of(const Text& text) {
  std::string bytes = strip(text, true, true).bytes;
  std::erase(bytes, '_');
  const char* begin = bytes.data();
  if (*begin == '+') ++begin;
  double value = 0;
  const auto result = std::from_chars(begin, bytes.data() + bytes.size(), value);
  if (result.ptr != bytes.data() + bytes.size() || result.ec != std::errc()) return std::nullopt;
  return value;
}
std::optional<std::int64_t> integer_of(const Text& text, int base) {
  std::string bytes = lower(strip(text, true, true)).bytes;
  std::erase(bytes, '_');
  const bool negative = bytes.starts_with('-');
  if (negative || bytes.starts_with('+')) bytes.erase(0, 1);
  const char kind = bytes.size() > 2 && bytes[0] == '0' ? bytes[1] : '\0';
  const int prefix = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
  if (prefix != 0 && (base == prefix || base == 0)) {
    base = prefix;
    bytes.erase(0, 2);
  }
  std::int64_t value = 0;
  const auto result =
      std::from_chars(bytes.data(), bytes.data() + bytes.size(), value, base == 0 ? 10 : base);
  const bool whole = !bytes.empty() && result.ptr == bytes.data() + bytes.size();
  if (!whole || result.ec != std::errc() || bytes[0] == '-') return std::nullopt;
  return negative ? -value : value;
}

Value whole_of(double value, const Value& fallback) {
  if (!(std::abs(value) < 9.2e18)) return fallback;
  return static_cast<std::int64_t>(value);
}

Value do_int(In, Subject value, Args args) {
  const auto given = args.bind("int", {"default", "base"});
  const Value fallback = given[0] ? *given[0] : Value(std::int64_t{0});
  if (value.is<double>()) return whole_of(as_real(value), fallback);
  if (value.is_number()) return as_integer(value);
  const auto* text = value.get_if<Text>();
  if (text == nullptr) return fallback;
  const std::int64_t base = integer(given[1], 10);
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  if (const auto whole = integer_of(*text, static_cast<int>(base))) return *whole;
  const auto real = real_of(*text);
  return real ? whole_of(*real, fallback) : fallback;
}

Value do_float(In, Subject value, Args args) {
  const auto given = args.bind("float", {"default"});
  if (value.is_number()) return as_real(value);
  const auto* text = value.get_if<Text>();
  const auto real = text ? real_of(*text) : std::nullopt;
  return real ? Value(*real) : given[0] ? *given[0] : Value(0.0);
}

Value do_abs(In, Subject value, Args) {
  if (value.is<double>()) return std::abs(as_real(value));
  const std::int64_t whole = as_integer(value);
  if (whole == INT64_MIN) throw EvalError("an integer beyond 64 bits");
  return std::abs(whole);
}

Value do_round(In, Subject value, Args args) {
  const auto given = args.bind("round", {"precision", "method"});
  const std::int64_t precision = std::clamp<std::int64_t>(integer(given[0], 0), -300, 300);
  const std::string method = given[1] ? to_text(*given[1]).bytes : "common";
  const double number = as_real(value);
  if (method == "ceil" || method == "floor") {
    const double scale = std::pow(10, static_cast<double>(precision));
    return (method == "ceil" ? std::ceil(number * scale) : std::floor(number * scale)) / scale;
  }
  if (method != "common") throw EvalError("method must be common, ceil or floor");
  if (precision < 0) {
    const double scale = std::pow(10, static_cast<double>(-precision));
    return std::nearbyint(number / scale) * scale;
  }
  // Decimal rounding of the exact value, ties to even, as Python's round().
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), number);
  const double rounded = std::strtod(buffer, nullptr);
  const bool stays_integer = !value.is<double>() && !given[0];
  return stays_integer ? Value(as_integer(value)) : Value(rounded);
}

Value do_tojson(In, Subject value, Args args) {
  const auto given = args.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = flag(given[0], false);
  style.sort_keys = flag(given[3], false);
  if (given[1] && !given[1]->is<None>()) {
    style.pretty = true;
    style.item_separator = Text(",");
    const auto* text = given[1]->get_if<Text>();
    const std::int64_t width = text ? 0 : as_integer(*given[1]);
    if (width > 64 || (text && text->size() > 64)) throw EvalError("an indent above 64");
    style.indent =
        text ? text->bytes
             : std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  if (given[2] && !given[2]->is<None>()) {
    const auto both = iterate(*given[2]);
    if (both.size() != 2) throw EvalError("separators must be two strings");
    style.item_separator = to_text(both[0]);
    style.key_separator = to_text(both[1]);
  }
  return to_json(value, style);
}

Value do_batch(In in, Subject value, Args args) {
  const auto given = args.bind("batch", {"linecount", "fill_with"});
  const std::int64_t count = integer(given[0], 0);
  if (count < 1) throw EvalError("batch needs a count of at least 1");
  std::vector<Value> batches, batch;
  for (Value& item : iterate(value)) {
    batch.push_back(std::move(item));
    if (static_cast<std::int64_t>(batch.size()) == count) {
      batches.push_back(Value::list(std::exchange(batch, {})));
    }
  }
  if (!batch.empty()) {
    if (given[1] && !given[1]->is<None>()) {
      in.work(static_cast<std::uint64_t>(count));
      batch.resize(static_cast<std::size_t>(count), *given[1]);
    }
    batches.push_back(Value::list(std::move(batch)));
  }
  return sequence(std::move(batches));
}

Value do_reverse(In, Subject value, Args) {
  auto items = iterate(value);
  std::reverse(items.begin(), items.end());
  if (!value.is<Text>()) return sequence(std::move(items));
  Text out;
  for (const Value& item : items) out.append(*item.get_if<Text>());
  return out;
}

Value do_format(In, Subject value, Args args) {
  if (!args.named.empty()) {
    throw EvalError("format takes positional arguments only");
  }
  return format_percent(to_text(value), Value::list(args.positional, List::Kind::tuple));
}

Value do_truncate(In, Subject value, Args args) {
  const auto given = args.bind("truncate", {"length", "killwords", "end", "leeway"});
  const Text text = to_text(value), end = given[2] ? to_text(*given[2]) : Text("...");
  const auto end_size = static_cast<std::int64_t>(character_count(end.bytes));
  const std::int64_t size = integer(given[0], 255), leeway = integer(given[3], 5);
  if (size < end_size) {
    throw EvalError(fmt::format("expected length >= {}, got {}", end_size, size));
  }
  const auto offsets = character_offsets(text.bytes);
  if (static_cast<std::int64_t>(offsets.size()) - 1 <= size + leeway) return text;
  Text out = text.substr(0, offsets[static_cast<std::size_t>(size - end_size)]);
  if (!flag(given[1], false)) out = split_from_right(out, " ", 1)[0];
  out.append(end);
  return out;
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry kFilters[] = {
    {"abs", do_abs},
    {"attr", [](In, Subject v,
                Args a) { return get_attribute(v, to_text(*a.bind("attr", {"name"})[0]).bytes); }},
    {"batch", do_batch},
    {"capitalize", [](In, Subject v, Args) -> Value { return capitalize(to_text(v)); }},
    {"count", [](In, Subject v, Args) -> Value { return length(v); }},
    {"d", do_default},
    {"default", do_default},
    {"dictsort", do_dictsort},
    {"e", [](In, Subject v, Args) -> Value { return escape_html(to_text(v)); }},
    {"escape", [](In, Subject v, Args) -> Value { return escape_html(to_text(v)); }},
    {"first", do_first},
    {"float", do_float},
    {"forceescape", [](In, Subject v, Args) -> Value { return escape_html(to_text(v)); }},
    {"format", do_format},
    {"groupby", do_groupby},
    {"indent", do_indent},
    {"int", do_int},
    {"items", do_items},
    {"join", do_join},
    {"last", do_last},
    {"length", [](In, Subject v, Args) -> Value { return length(v); }},
    {"list", [](In, Subject v, Args) { return Value::list(iterate(v)); }},
    {"lower", [](In, Subject v, Args) -> Value { return lower(to_text(v)); }},
    {"map", do_map},
    {"max", [](In, Subject v, Args a) { return extreme(v, a, true); }},
    {"min", [](In, Subject v, Args a) { return extreme(v, a, false); }},
    {"reject", [](In in, Subject v, Args a) { return choose(in, v, a, false, false); }},
    {"rejectattr", [](In in, Subject v, Args a) { return choose(in, v, a, false, true); }},
    {"replace", do_replace},
    {"reverse", do_reverse},
    {"round", do_round},
    {"safe", [](In, Subject v, Args) -> Value { return to_text(v); }},
    {"select", [](In in, Subject v, Args a) { return choose(in, v, a, true, false); }},
    {"selectattr", [](In in, Subject v, Args a) { return choose(in, v, a, true, true); }},
    {"sort", do_sort},
    {"string", [](In, Subject v, Args) -> Value { return to_text(v); }},
    {"sum", do_sum},
    {"title", [](In, Subject v, Args) -> Value { return title_filter(to_text(v)); }},
    {"tojson", do_tojson},
    {"trim", do_trim},
    {"truncate", do_truncate},
    {"unique", do_unique},
    {"upper", [](In, Subject v, Args) -> Value { return upper(to_text(v)); }},
    {"wordcount",
     [](In, Subject v, Args) -> Value {
       return static_cast<std::int64_t>(split_spaces(to_text(v), -1).size());
     }},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                         [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kFilters) ? nullptr : found->filter;
}

}  // namespace stepstone::jinja
