#include "grammar/json_schema.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "core/error.h"
#include "grammar/grammar.h"
#include "grammar/integer_range.h"
#include "grammar/regex.h"
#include "io/json.h"

namespace stepstone {
namespace {

using Schema = nlohmann::ordered_json;  // properties in their order
using Parts = std::vector<Expression>;

Expression text(std::string_view s) { return Expression::literal(s); }
Expression seq(Parts parts) { return Expression::sequence(std::move(parts)); }
Expression any_of(Parts parts) { return Expression::choice(std::move(parts)); }
Expression digits(std::int64_t min, std::int64_t max) {
  return Expression::repeat(Expression::characters({{'0', '9'}}), min, max);
}

constexpr std::string_view kAnnotations[] = {
    "title",   "description", "default",     "examples", "$schema",   "$id",       "$comment",
    "$anchor", "$defs",       "definitions", "readOnly", "writeOnly", "deprecated"};

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Schema& schema) : document_(schema) {}

  Rules run() {
    rules_.root = rules_.add("root");
    make_common_rules();
    Expression body = value(document_, "#");
    rules_.rules[0].body = std::move(body);
    return std::move(rules_);
  }

 private:
  [[noreturn]] static void fail(const std::string& place, std::string_view problem) {
    throw UsageError(fmt::format("schema: {}: {}", place, problem));
  }

  // What is written out in place of an allOf may hold itself, and references may follow each other.
  class Depth {
   public:
    Depth(SchemaCompiler& compiler, const std::string& place) : compiler_(compiler) {
      if (++compiler_.depth_ > kMaxDepth) fail(place, "nested too deeply, or without end");
      if (++compiler_.schemas_ > kMaxSchemas) fail(place, "the schema comes to too many parts");
    }
    ~Depth() { --compiler_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    static constexpr int kMaxDepth = 200, kMaxSchemas = 20'000;
    SchemaCompiler& compiler_;
  };

  Expression ref(int rule) const { return Expression::reference(rule); }
  Expression space() const { return ref(space_); }

  int rule(std::string name, Expression body) {
    return rules_.add(std::move(name), std::move(body));
  }

  void make_common_rules() {
    space_ = rule(
        "space", any_of({Expression::empty(), text(" "),
                         seq({text("\n"),
                              Expression::repeat(Expression::characters({{' ', ' '}, {'\t', '\t'}}),
                                                 0, 20)})}));
    const auto hex = Expression::characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
    // No escape of half a surrogate pair: it would be no character.
    const Expression escape = any_of(
        {Expression::characters({{'"', '"'},
                                 {'/', '/'},
                                 {'\\', '\\'},
                                 {'b', 'b'},
                                 {'f', 'f'},
                                 {'n', 'n'},
                                 {'r', 'r'},
                                 {'t', 't'}}),
         seq({text("u"),
              Expression::characters({{'0', '9'}, {'A', 'C'}, {'a', 'c'}, {'E', 'F'}, {'e', 'f'}}),
              Expression::repeat(hex, 3, 3)}),
         seq({text("u"), Expression::characters({{'D', 'D'}, {'d', 'd'}}),
              Expression::characters({{'0', '7'}}), Expression::repeat(hex, 2, 2)})});
    character_ =
        rule("character", any_of({Expression::all_but({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}),
                                  seq({text("\\"), escape})}));
    string_ =
        rule("string", quoted(Expression::repeat(ref(character_), 0, Expression::kUnbounded)));
    unsigned_number_ =
        rule("unsigned-number",
             seq({any_of({text("0"), seq({Expression::characters({{'1', '9'}}), digits(0, 15)})}),
                  Expression::optional(seq({text("."), digits(1, 16)})),
                  Expression::optional(
                      seq({Expression::characters({{'E', 'E'}, {'e', 'e'}}),
                           Expression::optional(Expression::characters({{'+', '+'}, {'-', '-'}})),
                           digits(1, 2)}))}));
    number_ = rule("number", seq({Expression::optional(text("-")), ref(unsigned_number_)}));
    any_ = rules_.add("value");
    const int member =
        rule("member", seq({ref(string_), text(":"), Expression::optional(text(" ")), ref(any_)}));
    any_object_ = rule("object", braces('{', '}', Expression::optional(list(ref(member)))));
    any_array_ = rule("array", braces('[', ']', Expression::optional(list(ref(any_)))));
    rules_.rules[static_cast<std::size_t>(any_)].body =
        any_of({ref(any_object_), ref(any_array_), ref(string_), ref(number_), text("true"),
                text("false"), text("null")});
  }

  static Expression quoted(Expression inside) {
    return seq({text("\""), std::move(inside), text("\"")});
  }
  Expression comma() const { return seq({text(","), space()}); }
  // One or more, with commas.
  Expression list(const Expression& item) const {
    return seq({item, Expression::repeat(seq({comma(), item}), 0, Expression::kUnbounded)});
  }
  Expression braces(char open, char close, Expression inside) const {
    return seq({text(std::string(1, open)), space(), std::move(inside), space(),
                text(std::string(1, close))});
  }

  // The schemas of one place. `place` is a JSON pointer for messages.
  Expression value(const Schema& schema, const std::string& place) {
    const Depth depth(*this, place);
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) fail(place, "false allows nothing");
      return ref(any_);
    }
    if (!schema.is_object()) fail(place, "expected an object or a boolean");
    if (schema.contains("$ref")) return reference(schema, place);
    if (schema.contains("const")) {
      only(schema, place, {"const", "type"});
      return constant(schema["const"]);
    }
    if (schema.contains("enum")) return enumeration(schema, place);
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return alternatives(schema, key, place);
    }
    if (schema.contains("allOf")) {
      const Schema* alone = only_part(schema);
      return value(alone ? *alone : merged(schema, place), place);
    }
    if (schema.contains("type") && schema["type"].is_array()) {
      Parts parts;
      for (const Schema& type : schema["type"]) {
        if (!type.is_string()) fail(place + "/type", "expected strings");
        parts.push_back(typed(schema, type.get<std::string>(), place, true));
      }
      if (parts.empty()) fail(place + "/type", "names no type");
      return any_of(std::move(parts));
    }
    return typed(schema, type_of(schema, place), place, false);
  }

  static std::string type_of(const Schema& schema, const std::string& place) {
    if (schema.contains("type")) {
      if (!schema["type"].is_string()) fail(place + "/type", "expected a string or an array");
      return schema["type"].get<std::string>();
    }
    for (const char* key : {"properties", "required", "additionalProperties"}) {
      if (schema.contains(key)) return "object";
    }
    for (const char* key : {"items", "prefixItems", "minItems", "maxItems"}) {
      if (schema.contains(key)) return "array";
    }
    for (const char* key : {"minLength", "maxLength", "pattern", "format"}) {
      if (schema.contains(key)) return "string";
    }
    return "";
  }

  Expression typed(const Schema& schema, const std::string& type, const std::string& place,
                   bool one_of_many) {
    // With several types, each keyword belongs to one of them.
    const auto known = [&](std::vector<std::string_view> keys) {
      if (!one_of_many) only(schema, place, std::move(keys));
    };
    if (type == "object") {
      known({"type", "properties", "required", "additionalProperties"});
      return object(schema, place);
    }
    if (type == "array") {
      known({"type", "items", "prefixItems", "minItems", "maxItems"});
      return array(schema, place);
    }
    if (type == "string") {
      known({"type", "minLength", "maxLength", "pattern", "format"});
      return string(schema, place);
    }
    if (type == "integer") {
      known({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"});
      return integer(schema, place);
    }
    if (type == "number") {
      known({"type", "minimum"});
      return number(schema, place);
    }
    known({"type"});
    if (type == "boolean") return any_of({text("true"), text("false")});
    if (type == "null") return text("null");
    if (type.empty()) return ref(any_);
    fail(place + "/type", fmt::format("\"{}\" is no type", type));
  }

  // Refuses every key that is neither one of `keys` nor an annotation.
  static void only(const Schema& schema, const std::string& place,
                   std::vector<std::string_view> keys) {
    keys.insert(keys.end(), std::begin(kAnnotations), std::end(kAnnotations));
    for (const auto& [key, unused] : schema.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        fail(place, fmt::format("\"{}\" is not supported here", key));
      }
    }
  }

  static Expression constant(const Schema& value) { return text(value.dump()); }

  static Expression enumeration(const Schema& schema, const std::string& place) {
    only(schema, place, {"enum", "type"});
    if (!schema["enum"].is_array() || schema["enum"].empty()) {
      fail(place + "/enum", "expected an array of values");
    }
    Parts parts;
    for (const Schema& value : schema["enum"]) parts.push_back(constant(value));
    return any_of(std::move(parts));
  }

  Expression alternatives(const Schema& schema, const std::string& key, const std::string& place) {
    only(schema, place, {key});
    const Schema& all = schema[key];
    if (!all.is_array() || all.empty()) fail(place + "/" + key, "expected an array of schemas");
    Parts parts;
    for (std::size_t i = 0; i < all.size(); ++i) {
      parts.push_back(value(all[i], fmt::format("{}/{}/{}", place, key, i)));
    }
    return any_of(std::move(parts));
  }

  Expression reference(const Schema& schema, const std::string& place) {
    only(schema, place, {"$ref"});
    if (!schema["$ref"].is_string()) fail(place + "/$ref", "expected a string");
    const auto target = schema["$ref"].get<std::string>();
    const auto [known, fresh] = references_.try_emplace(target, 0);
    if (!fresh) return ref(known->second);
    const int made = known->second = rules_.add(target);
    Expression body = value(resolve(target, place), target);
    rules_.rules[static_cast<std::size_t>(made)].body = std::move(body);
    return ref(made);
  }

  const Schema& resolve(const std::string& target, const std::string& place) const {
    if (!target.starts_with('#')) fail(place + "/$ref", "points outside of the schema");
    try {
      return document_.at(Schema::json_pointer(target.substr(1)));
    } catch (const Schema::exception&) {
      fail(place + "/$ref", fmt::format("\"{}\" is not in the schema", target));
    }
  }

  // An allOf of one, with annotations beside it: how some write a $ref, which may recurse.
  static const Schema* only_part(const Schema& schema) {
    const Schema& parts = schema["allOf"];
    if (!parts.is_array() || parts.size() != 1) return nullptr;
    for (const auto& [key, value] : schema.items()) {
      if (key != "allOf" && std::ranges::find(kAnnotations, key) == std::end(kAnnotations)) {
        return nullptr;
      }
    }
    return &parts[0];
  }

  // allOf of objects: their properties together.
  Schema merged(const Schema& schema, const std::string& place) {
    const Depth depth(*this, place);
    Schema out = schema;
    out.erase("allOf");
    if (!schema["allOf"].is_array()) fail(place + "/allOf", "expected an array of schemas");
    for (Schema part : schema["allOf"]) {
      for (int hops = 0; part.is_object() && part.contains("$ref"); ++hops) {
        if (hops == 16 || !part["$ref"].is_string()) fail(place + "/allOf", "endless references");
        part = resolve(part["$ref"].get<std::string>(), place + "/allOf");
      }
      if (!part.is_object()) fail(place + "/allOf", "expected objects");
      if (part.contains("allOf")) part = merged(part, place + "/allOf");
      for (const auto& [key, value] : part.items()) merge(out, key, value, place + "/allOf");
    }
    return out;
  }

  static void merge(Schema& out, const std::string& key, const Schema& value,
                    const std::string& place) {
    if (!out.contains(key)) {
      out[key] = value;
    } else if (key == "required" && value.is_array()) {
      for (const Schema& name : value) out[key].push_back(name);
    } else if (key == "properties" && value.is_object()) {
      for (const auto& [name, schema] : value.items()) merge(out[key], name, schema, place);
    } else if (out[key] != value &&
               std::ranges::find(kAnnotations, key) == std::end(kAnnotations)) {
      fail(place, fmt::format("two different \"{}\" cannot be put together", key));
    }
  }

  static std::int64_t count(const Schema& schema, const char* key, std::int64_t otherwise,
                            const std::string& place) {
    if (!schema.contains(key)) return otherwise;
    const Schema& value = schema[key];
    if (!value.is_number_integer() || value < 0 || value > Grammar::kMaxRepeat) {
      fail(place + "/" + key, fmt::format("expected 0 to {}", Grammar::kMaxRepeat));
    }
    return value.get<std::int64_t>();
  }

  Expression object(const Schema& schema, const std::string& place) {
    const Schema properties = schema.value("properties", Schema::object());
    const Schema required = schema.value("required", Schema::array());
    if (!properties.is_object()) fail(place + "/properties", "expected an object");
    if (!required.is_array()) fail(place + "/required", "expected an array");
    for (const Schema& name : required) {
      if (!name.is_string()) fail(place + "/required", "expected strings");
    }
    const auto is_required = [&](const std::string& name) {
      return std::find(required.begin(), required.end(), name) != required.end();
    };
    std::optional<Expression> other;  // a member that the schema does not name
    const bool says = schema.contains("additionalProperties");
    if (says ? schema["additionalProperties"] != Schema(false) : properties.empty()) {
      const Expression any =
          says ? value(schema["additionalProperties"], place + "/additionalProperties") : ref(any_);
      other = seq({ref(string_), text(":"), Expression::optional(text(" ")), any});
    }
    for (const Schema& name : required) {
      if (!properties.contains(name.get<std::string>())) {
        fail(place + "/required", fmt::format("{} is not among the properties", name.dump()));
      }
    }
    // From the last property to the first: what may come once a member was written, and before.
    Expression after = other ? Expression::repeat(seq({comma(), *other}), 0, Expression::kUnbounded)
                             : Expression::empty();
    Expression before = other ? Expression::optional(list(*other)) : Expression::empty();
    std::vector<std::string> names;
    for (const auto& [name, unused] : properties.items()) names.push_back(name);
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
      const std::string where = place + "/properties/" + *name;
      const Expression member =
          seq({text(Schema(*name).dump() + ":"), Expression::optional(text(" ")),
               ref(rule(where, value(properties[*name], where)))});
      const int then = rule(where + " then", std::move(after));
      const Expression first = seq({member, ref(then)});
      const Expression next = seq({comma(), member, ref(then)});
      if (is_required(*name)) {
        before = first;
        after = next;
      } else {
        const int skipped = rule(where + " skipped", std::move(before));
        before = any_of({first, ref(skipped)});
        after = any_of({next, ref(then)});
      }
    }
    return braces('{', '}', std::move(before));
  }

  Expression array(const Schema& schema, const std::string& place) {
    const Schema prefix = schema.value("prefixItems", Schema::array());
    if (!prefix.is_array()) fail(place + "/prefixItems", "expected an array of schemas");
    const auto fixed = static_cast<std::int64_t>(prefix.size());
    const bool closed = schema.contains("items") && schema["items"] == Schema(false);
    const std::int64_t min = count(schema, "minItems", 0, place);
    const std::int64_t max =
        closed ? fixed : count(schema, "maxItems", Expression::kUnbounded, place);
    if (max != Expression::kUnbounded && max < min) fail(place, "maxItems is below minItems");
    if (fixed > 0 && (min > 0 || (max != Expression::kUnbounded && !closed))) {
      fail(place, "minItems and maxItems beside prefixItems are not supported");
    }
    const Expression item =
        schema.contains("items") && !closed
            ? ref(rule(place + "/items", value(schema["items"], place + "/items")))
            : ref(any_);
    if (fixed > 0) {
      Parts parts;
      for (std::int64_t i = 0; i < fixed; ++i) {
        if (i > 0) parts.push_back(comma());
        parts.push_back(
            value(prefix[static_cast<std::size_t>(i)], fmt::format("{}/prefixItems/{}", place, i)));
      }
      if (!closed)
        parts.push_back(Expression::repeat(seq({comma(), item}), 0, Expression::kUnbounded));
      return braces('[', ']', seq(std::move(parts)));
    }
    if (max == 0) return seq({text("["), space(), text("]")});
    const std::int64_t more = max == Expression::kUnbounded ? max : max - 1;
    Expression items = seq(
        {item, Expression::repeat(seq({comma(), item}), std::max<std::int64_t>(0, min - 1), more)});
    if (min == 0) items = Expression::optional(std::move(items));
    return braces('[', ']', std::move(items));
  }

  Expression string(const Schema& schema, const std::string& place) {
    const bool lengths = schema.contains("minLength") || schema.contains("maxLength");
    if (schema.contains("pattern")) {
      if (lengths || schema.contains("format")) {
        fail(place, "pattern beside format, minLength or maxLength is not supported");
      }
      if (!schema["pattern"].is_string()) fail(place + "/pattern", "expected a string");
      Regex regex = parse_regex(schema["pattern"].get<std::string>(), true);
      const Expression anything = Expression::repeat(ref(character_), 0, Expression::kUnbounded);
      Parts parts = {std::move(regex.body)};
      if (!regex.from_start) parts.insert(parts.begin(), anything);
      if (!regex.to_end) parts.push_back(anything);
      return quoted(seq(std::move(parts)));
    }
    if (schema.contains("format")) {
      if (lengths) fail(place, "format beside minLength or maxLength is not supported");
      return quoted(parse_regex(format_pattern(schema["format"], place)).body);
    }
    if (!lengths) return ref(string_);
    const std::int64_t min = count(schema, "minLength", 0, place);
    const std::int64_t max = count(schema, "maxLength", Expression::kUnbounded, place);
    if (max != Expression::kUnbounded && max < min) fail(place, "maxLength is below minLength");
    return quoted(Expression::repeat(ref(character_), min, max));
  }

  static std::string format_pattern(const Schema& format, const std::string& place) {
    const std::string date =  // every month's own number of days; 29 February is left out
        "[0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])"
        "-31)";
    const std::string time =
        "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-"
        "9])";
    if (format == "date") return date;
    if (format == "time") return time;
    if (format == "date-time") return date + "T" + time;
    if (format == "uuid") return "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    fail(place + "/format", fmt::format("{} is not supported", format.dump()));
  }

  static std::optional<std::int64_t> bound(const Schema& schema, const char* key,
                                           const std::string& place) {
    if (!schema.contains(key)) return std::nullopt;
    const Schema& value = schema[key];
    constexpr std::int64_t kMost = 1'000'000'000'000'000;
    if (!value.is_number_integer() || value < -kMost || value > kMost) {
      fail(place + "/" + key, fmt::format("expected an integer of at most {} digits", 15));
    }
    return value.get<std::int64_t>();
  }

  static Expression integer(const Schema& schema, const std::string& place) {
    auto low = bound(schema, "minimum", place), high = bound(schema, "maximum", place);
    if (const auto above = bound(schema, "exclusiveMinimum", place))
      low = std::max(low.value_or(*above + 1), *above + 1);
    if (const auto below = bound(schema, "exclusiveMaximum", place))
      high = std::min(high.value_or(*below - 1), *below - 1);
    if (low && high && *low > *high) fail(place, "no integer lies between its bounds");
    return integer_range(low, high);
  }

  Expression number(const Schema& schema, const std::string& place) const {
    if (!schema.contains("minimum")) return ref(number_);
    if (schema["minimum"] != Schema(0))
      fail(place + "/minimum", "of a number, only 0 is supported");
    return ref(unsigned_number_);
  }

  const Schema& document_;
  Rules rules_;
  std::map<std::string, int> references_;
  int space_ = 0, character_ = 0, string_ = 0, unsigned_number_ = 0, number_ = 0;
  int any_ = 0, any_object_ = 0, any_array_ = 0;
  int depth_ = 0, schemas_ = 0;
};

}  // namespace

Rules json_schema_rules(std::string_view schema) {
  parse_json(schema, "schema", {.max_bytes = 1 << 20, .max_values = 100'000});  // the limits
  const Schema parsed = Schema::parse(schema);
  return SchemaCompiler(parsed).run();
}

Grammar Grammar::from_json_schema(std::string_view schema) {
  try {
    return Grammar(json_schema_rules(schema));
  } catch (const LeftRecursion& e) {
    // Rules are called by their places; those without one are parts of a pattern.
    if (e.rule().starts_with('#')) {
      throw UsageError(fmt::format("schema: {}: its $ref leads back to itself", e.rule()));
    }
    throw UsageError("schema: a pattern repeats without end what may be empty");
  }
}

}  // namespace stepstone
