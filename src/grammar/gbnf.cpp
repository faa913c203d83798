#include <map>

#include "grammar/cursor.h"
#include "grammar/grammar.h"
#include "tokenizer/unicode.h"

namespace stepstone {

namespace {

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : in_(text, "grammar") {}

  Rules parse() {
    for (space(true); !in_.at_end(); space(true)) rule();
    for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
      require<UsageError>(defined_[i], "grammar: rule \"{}\" is used but not defined",
                          rules_.rules[i].name);
    }
    const auto root = ids_.find("root");
    require<UsageError>(root != ids_.end(), "grammar: has no rule \"root\"");
    rules_.root = root->second;
    return std::move(rules_);
  }

 private:
  // Blanks and comments; line ends too where a rule may go on.
  void space(bool lines) {
    while (!in_.at_end()) {
      const char c = in_.peek();
      if (c == '#') {
        while (!in_.at_end() && in_.peek() != '\n') in_.skip();
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        in_.skip();
      } else {
        return;
      }
    }
  }

  int id_of(const std::string& name) {
    const auto [it, fresh] = ids_.try_emplace(name, 0);
    if (fresh) {
      it->second = rules_.add(name);
      defined_.push_back(false);
    }
    return it->second;
  }

  std::string name() {
    std::string out;
    for (; is_name(in_.peek()); in_.skip()) out += in_.peek();
    if (out.empty()) in_.fail("expected a rule's name");
    return out;
  }

  void rule() {
    const std::string called = name();
    space(false);
    in_.expect("::=");
    space(true);
    const auto id = static_cast<std::size_t>(id_of(called));
    if (defined_[id]) in_.fail(fmt::format("rule \"{}\" is defined twice", called));
    Expression body = choices(0);
    defined_[id] = true;
    rules_.rules[id].body = std::move(body);
    if (!in_.at_end() && in_.peek() != '\n' && in_.peek() != '\r') in_.fail("expected a line end");
  }

  Expression choices(int depth) {
    std::vector<Expression> parts;
    do {
      space(true);
      parts.push_back(sequence(depth));
      space(depth > 0);
    } while (in_.take("|"));
    return parts.size() == 1 ? std::move(parts[0]) : Expression::choice(std::move(parts));
  }

  Expression sequence(int depth) {
    std::vector<Expression> parts;
    for (;; space(depth > 0)) {
      const char c = in_.peek();
      if (c == '"') {
        parts.push_back(literal());
      } else if (c == '[') {
        parts.push_back(characters());
      } else if (c == '.') {
        in_.skip();
        parts.push_back(Expression::all_but({}));
      } else if (c == '(') {
        if (depth == kMaxNesting) in_.fail("nested too deeply");
        in_.skip();
        parts.push_back(choices(depth + 1));
        in_.expect(")");
      } else if (is_name(c)) {
        parts.push_back(Expression::reference(id_of(name())));
      } else {
        return Expression::sequence(std::move(parts));
      }
      repetitions(parts.back());
    }
  }

  void repetitions(Expression& part) {
    if (in_.take("*")) {
      part = Expression::repeat(std::move(part), 0, Expression::kUnbounded);
    } else if (in_.take("+")) {
      part = Expression::repeat(std::move(part), 1, Expression::kUnbounded);
    } else if (in_.take("?")) {
      part = Expression::optional(std::move(part));
    } else if (in_.take("{")) {
      const auto [min, max] = repeat_bounds(in_, Expression::kUnbounded);
      part = Expression::repeat(std::move(part), min, max);
    }
  }

  char32_t escaped_character() {
    if (!in_.take("\\")) return in_.character();
    const char c = in_.peek();
    in_.skip();
    switch (c) {
      case 'x':
        return in_.hexadecimal(2);
      case 'u':
        return in_.hexadecimal(4);
      case 'U':
        return in_.hexadecimal(8);
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'n':
        return '\n';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<unsigned char>(c);
      default:
        in_.fail("unknown escape");
    }
  }

  Expression literal() {
    in_.expect("\"");
    std::string text;
    while (!in_.take("\"")) append_utf8(escaped_character(), text);
    return Expression::literal(text);
  }

  Expression characters() {
    in_.expect("[");
    const bool negated = in_.take("^");
    std::vector<Expression::Range> ranges;
    while (!in_.take("]")) {
      const char32_t low = escaped_character();
      char32_t high = low;
      if (in_.peek() == '-' && in_.peek(1) != ']') {
        in_.skip();
        high = escaped_character();
        if (high < low) in_.fail("a range that ends before it begins");
      }
      ranges.emplace_back(low, high);
    }
    return negated ? Expression::all_but(std::move(ranges))
                   : Expression::characters(std::move(ranges));
  }

  Cursor in_;
  Rules rules_;
  std::map<std::string, int> ids_;
  std::vector<bool> defined_;
};

}  // namespace

Grammar Grammar::from_gbnf(std::string_view text) { return Grammar(GbnfParser(text).parse()); }

}  // namespace stepstone
