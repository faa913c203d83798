#include "grammar/integer_range.h"

#include <algorithm>

namespace stepstone {
namespace {

constexpr std::int64_t kMost = 999'999'999'999'999'999;  // 18 digits

Expression digit(char low, char high) {
  return Expression::characters({{static_cast<char32_t>(low), static_cast<char32_t>(high)}});
}

// Strings of digits of one length, from `low` to `high`.
Expression same_length(const std::string& low, const std::string& high) {
  const auto n = static_cast<std::int64_t>(low.size());
  if (n == 0) return Expression::empty();
  if (low.find_first_not_of('0') == std::string::npos &&
      high.find_first_not_of('9') == std::string::npos) {
    return Expression::repeat(digit('0', '9'), n, n);
  }
  const std::string low_rest = low.substr(1), high_rest = high.substr(1);
  if (low[0] == high[0]) {
    return Expression::sequence(
        {Expression::literal(low.substr(0, 1)), same_length(low_rest, high_rest)});
  }
  const std::string nines(low_rest.size(), '9'), zeros(low_rest.size(), '0');
  std::vector<Expression> parts;
  // The first digits whose rest is free lie between those of the two ends.
  char first = low[0], last = high[0];
  if (low_rest != zeros) {
    parts.push_back(Expression::sequence(
        {Expression::literal(std::string(1, first++)), same_length(low_rest, nines)}));
  }
  if (high_rest != nines) {
    parts.push_back(Expression::sequence(
        {Expression::literal(std::string(1, last--)), same_length(zeros, high_rest)}));
  }
  if (first <= last) {
    parts.push_back(Expression::sequence(
        {digit(first, last), Expression::repeat(digit('0', '9'), n - 1, n - 1)}));
  }
  return Expression::choice(std::move(parts));
}

// 0 <= low <= high
void append_natural(std::int64_t low, std::int64_t high, std::string_view sign,
                    std::vector<Expression>& out) {
  std::int64_t first = 0, last = 9;  // of the numbers with as many digits as `last`
  while (true) {
    if (const std::int64_t a = std::max(low, first), b = std::min(high, last); a <= b) {
      out.push_back(Expression::sequence(
          {Expression::literal(sign), same_length(std::to_string(a), std::to_string(b))}));
    }
    if (last >= high) return;
    first = last + 1;
    last = 10 * last + 9;
  }
}

}  // namespace

Expression integer_range(std::optional<std::int64_t> low, std::optional<std::int64_t> high) {
  const std::int64_t a = std::max(low.value_or(-kMost), -kMost);
  const std::int64_t b = std::min(high.value_or(kMost), kMost);
  std::vector<Expression> parts;
  if (a < 0) append_natural(std::max<std::int64_t>(1, -b), -a, "-", parts);
  if (b >= 0) append_natural(std::max<std::int64_t>(0, a), b, "", parts);
  return Expression::choice(std::move(parts));
}

}  // namespace stepstone
