#include "grammar/expression.h"

#include <algorithm>

namespace stepstone {

Expression Expression::literal(std::string_view text) {
  Expression e;
  e.kind = Kind::literal;
  e.text = text;
  return e;
}

Expression Expression::characters(std::vector<Range> ranges) {
  Expression e;
  e.kind = Kind::characters;
  e.ranges = std::move(ranges);
  return e;
}

Expression Expression::all_but(std::vector<Range> ranges) {
  ranges.emplace_back(0xD800, 0xDFFF);  // surrogates are no characters
  std::sort(ranges.begin(), ranges.end());
  std::vector<Range> rest;
  char32_t next = 0;
  for (const auto& [low, high] : ranges) {
    if (low > next) rest.emplace_back(next, low - 1);
    next = std::max<char32_t>(next, high + 1);
  }
  if (next <= 0x10FFFF) rest.emplace_back(next, 0x10FFFF);
  return characters(std::move(rest));
}

Expression Expression::reference(int rule) {
  Expression e;
  e.kind = Kind::rule;
  e.rule = rule;
  return e;
}

Expression Expression::sequence(std::vector<Expression> parts) {
  Expression e;
  e.kind = Kind::sequence;
  e.parts = std::move(parts);
  return e;
}

Expression Expression::choice(std::vector<Expression> parts) {
  Expression e;
  e.kind = Kind::choice;
  e.parts = std::move(parts);
  return e;
}

Expression Expression::repeat(Expression part, std::int64_t min, std::int64_t max) {
  Expression e;
  e.kind = Kind::repeat;
  e.min = min;
  e.max = max;
  e.parts.push_back(std::move(part));
  return e;
}

}  // namespace stepstone
