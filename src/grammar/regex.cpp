#include "grammar/regex.h"

#include <algorithm>

#include "grammar/cursor.h"
#include "grammar/grammar.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

using Ranges = std::vector<Expression::Range>;

Ranges digits() { return {{'0', '9'}}; }
Ranges word() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
Ranges blank() { return {{'\t', '\r'}, {' ', ' '}}; }
// What a JSON string cannot hold as it is.
const Ranges& json_escaped() {
  static const Ranges ranges = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return ranges;
}

Ranges complement(Ranges ranges) { return Expression::all_but(std::move(ranges)).ranges; }

Ranges without(const Ranges& from, const Ranges& taken) {
  Ranges both = complement(from);
  both.insert(both.end(), taken.begin(), taken.end());
  return complement(std::move(both));
}

class RegexParser {
 public:
  RegexParser(std::string_view pattern, bool json_string)
      : in_(pattern, "regular expression"), json_string_(json_string) {}

  Regex parse() {
    Regex regex;
    regex.from_start = in_.take("^");
    regex.body = choices(0);
    regex.to_end = in_.take("$");
    if (!in_.at_end()) in_.fail(fmt::format("'{}' is not understood here", in_.peek()));
    return regex;
  }

 private:
  Expression choices(int depth) {
    std::vector<Expression> parts;
    do {
      parts.push_back(sequence(depth));
    } while (in_.take("|"));
    return parts.size() == 1 ? std::move(parts[0]) : Expression::choice(std::move(parts));
  }

  Expression sequence(int depth) {
    std::vector<Expression> parts;
    while (!in_.at_end() && in_.peek() != '|' && in_.peek() != ')' && in_.peek() != '$') {
      parts.push_back(repeated(atom(depth)));
    }
    return Expression::sequence(std::move(parts));
  }

  Expression atom(int depth) {
    if (in_.take("(")) {
      if (depth == kMaxNesting) in_.fail("nested too deeply");
      if (in_.peek() == '?' && !in_.take("?:")) in_.fail("this kind of group is not supported");
      Expression group = choices(depth + 1);
      in_.expect(")");
      return group;
    }
    if (in_.take("[")) return characters();
    if (in_.take(".")) return one_of(complement({{'\n', '\n'}}));
    if (in_.take("\\")) {
      const Ranges ranges = escaped(false);
      const bool single = ranges.size() == 1 && ranges[0].first == ranges[0].second;
      return single ? one(ranges[0].first) : one_of(ranges);
    }
    if (std::string_view("*+?{^").find(in_.peek()) != std::string_view::npos) {
      in_.fail(fmt::format("'{}' has nothing before it to repeat", in_.peek()));
    }
    return one(in_.character());
  }

  Expression repeated(Expression part) {
    std::int64_t min = 1, max = 1;
    if (in_.take("*")) {
      min = 0, max = Expression::kUnbounded;
    } else if (in_.take("+")) {
      max = Expression::kUnbounded;
    } else if (in_.take("?")) {
      min = 0;
    } else if (in_.take("{")) {
      std::tie(min, max) = repeat_bounds(in_, Expression::kUnbounded);
    } else {
      return part;
    }
    in_.take("?");  // lazy
    return Expression::repeat(std::move(part), min, max);
  }

  // After the backslash.
  Ranges escaped(bool in_class) {
    const char c = in_.peek();
    const auto one_of = [&](char32_t code) { return Ranges{{code, code}}; };
    if (std::string_view("\\^$.|?*+()[]{}/-\"'").find(c) != std::string_view::npos && c != '\0') {
      in_.skip();
      return one_of(static_cast<unsigned char>(c));
    }
    in_.skip();
    switch (c) {
      case 'd':
        return digits();
      case 'w':
        return word();
      case 's':
        return blank();
      case 'D':
        return complement(digits());
      case 'W':
        return complement(word());
      case 'S':
        return complement(blank());
      case 'n':
        return one_of('\n');
      case 't':
        return one_of('\t');
      case 'r':
        return one_of('\r');
      case 'f':
        return one_of('\f');
      case 'v':
        return one_of('\v');
      case 'x':
        return one_of(in_.hexadecimal(2));
      case 'u':
        return one_of(in_.hexadecimal(4));
      case 'b':
        if (in_class) return one_of('\b');
        [[fallthrough]];
      default:
        in_.fail("this escape is not supported");
    }
  }

  Expression characters() {
    const bool negated = in_.take("^");
    Ranges ranges;
    bool first = true;
    while (first || in_.peek() != ']') {
      if (in_.at_end()) in_.fail("expected ']'");
      first = false;
      Ranges item;
      if (in_.take("\\")) {
        item = escaped(true);
      } else {
        const char32_t c = in_.character();
        item = {{c, c}};
      }
      const bool single = item.size() == 1 && item[0].first == item[0].second;
      if (single && in_.peek() == '-' && in_.peek(1) != ']' && in_.peek(1) != '\0') {
        in_.skip();
        const Ranges end = in_.take("\\") ? escaped(true) : [&] {
          const char32_t c = in_.character();
          return Ranges{{c, c}};
        }();
        if (end.size() != 1 || end[0].first != end[0].second || end[0].first < item[0].first) {
          in_.fail("a range that ends before it begins");
        }
        item[0].second = end[0].first;
      }
      ranges.insert(ranges.end(), item.begin(), item.end());
    }
    in_.expect("]");
    return one_of(negated ? complement(std::move(ranges)) : std::move(ranges));
  }

  Expression one_of(Ranges ranges) const {
    if (json_string_) ranges = without(ranges, json_escaped());
    if (ranges.empty()) in_.fail("a class without characters");
    return Expression::characters(std::move(ranges));
  }

  Expression one(char32_t c) const {
    std::string text;
    if (json_string_ && (c == '"' || c == '\\')) text = "\\";
    if (json_string_ && c < 0x20) {
      return Expression::literal(fmt::format("\\u{:04x}", static_cast<unsigned>(c)));
    }
    append_utf8(c, text);
    return Expression::literal(text);
  }

  Cursor in_;
  bool json_string_;
};

}  // namespace

Regex parse_regex(std::string_view pattern, bool json_string) {
  return RegexParser(pattern, json_string).parse();
}

Grammar Grammar::from_regex(std::string_view pattern) {
  Rules rules;
  rules.add("root", parse_regex(pattern).body);
  try {
    return Grammar(rules);
  } catch (const LeftRecursion&) {
    throw UsageError("regular expression: repeats without end what may be empty");
  }
}

}  // namespace stepstone
