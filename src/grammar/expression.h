// What the three notations (GBNF, JSON Schema, regular expressions) are translated to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stepstone {

struct Expression {
  enum class Kind : std::uint8_t { literal, characters, rule, sequence, choice, repeat };
  // Inclusive, of code points.
  using Range = std::pair<char32_t, char32_t>;
  static constexpr std::int64_t kUnbounded = -1;

  Kind kind = Kind::sequence;
  std::string text = {};           // literal: bytes
  std::vector<Range> ranges = {};  // characters: one of them
  int rule = -1;                   // rule: its number in the Rules
  std::int64_t min = 0, max = 0;
  std::vector<Expression> parts = {};

  static Expression literal(std::string_view text);
  static Expression characters(std::vector<Range> ranges);
  static Expression all_but(std::vector<Range> ranges);
  static Expression reference(int rule);
  static Expression sequence(std::vector<Expression> parts);
  static Expression choice(std::vector<Expression> parts);
  static Expression repeat(Expression part, std::int64_t min, std::int64_t max);
  static Expression optional(Expression part) { return repeat(std::move(part), 0, 1); }
  static Expression empty() { return sequence({}); }
};

// Rules that may refer to each other; a text is derived from `root`.
struct Rules {
  struct Rule {
    std::string name;  // for messages
    Expression body;
  };
  std::vector<Rule> rules;
  int root = 0;

  int add(std::string name, Expression body = {}) {
    rules.push_back({std::move(name), std::move(body)});
    return static_cast<int>(rules.size()) - 1;
  }
};

}  // namespace stepstone
