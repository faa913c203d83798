#include "grammar/expression.h"

#include <algorithm>

namespace stepstone {

Expression Expression::literal(std::string_view text) {
  return {.kind = Kind::literal, .text = std::string(text)};
}

Expression Expression::characters(std::vector<Range> ranges) {
  return {.kind = Kind::characters, .ranges = std::move(ranges)};
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

Expression Expression::reference(int rule) { return {.kind = Kind::rule, .rule = rule}; }

Expression Expression::sequence(std::vector<Expression> parts) {
  return {.kind = Kind::sequence, .parts = std::move(parts)};
}

Expression Expression::choice(std::vector<Expression> parts) {
  return {.kind = Kind::choice, .parts = std::move(parts)};
}

Expression Expression::repeat(Expression part, std::int64_t min, std::int64_t max) {
  return {.kind = Kind::repeat, .min = min, .max = max, .parts = {std::move(part)}};
}

}  // namespace stepstone
