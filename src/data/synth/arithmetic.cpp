// Small sums, the multiplication table, comparisons and counting.
#include <algorithm>
#include <iterator>

#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

// The largest number in a sum or difference, its result included.
int max_number(int level) { return level == 0 ? 20 : level == 1 ? 50 : 100; }
int max_factor(int level) { return level == 0 ? 6 : level == 1 ? 9 : 12; }
int max_compared(int level) { return level == 0 ? 20 : level == 1 ? 100 : 1000; }

struct Sum {
  int a, b;
  bool plus;
  int result() const { return plus ? a + b : a - b; }
  // Operand order does not matter to a sum: 3 + 5 and 5 + 3 share a key.
  std::string key() const {
    return plus ? fmt::format("add:{},{}", std::min(a, b), std::max(a, b))
                : fmt::format("sub:{},{}", a, b);
  }
  std::string equation() const {
    return fmt::format("{} {} {} = {}", a, plus ? '+' : '-', b, result());
  }
};

// The longest count that is written out.
constexpr int kMaxCount = 20;

// How the result is counted out: "7 8:1 9:2 10:3; " is 7 + 3 (on from the larger operand), and
// "7 6:1 5:2; " is 7 - 2. A step needs no more than the neighbour of a number, so a small model
// that could not keep all sums in its weights finds those that it never saw. Empty if there is
// nothing to count or too much.
std::string working(const Sum& sum) {
  const int from = sum.plus ? std::max(sum.a, sum.b) : sum.a;
  const int steps = sum.plus ? std::min(sum.a, sum.b) : sum.b;
  if (steps == 0 || steps > kMaxCount) return "";
  std::string out = fmt::format("{}", from);
  for (int i = 1; i <= steps; ++i) {
    out += fmt::format(" {}:{}", sum.plus ? from + i : from - i, i);
  }
  return out + "; ";
}

Sum sum_of(int a, int b) { return {a, b, true}; }
Sum difference_of(int a, int b) { return {a, b, false}; }

// Every pair of the triangle a + b <= top, or b <= a <= top, is as likely.
Sum any_sum(const Draw& draw) {
  const int top = max_number(draw.level());
  int a = between(0, top, draw.random), b = between(0, top, draw.random);
  if (chance(0.5, draw.random)) {
    if (a + b > top) {
      a = top - a;
      b = top - b;
    }
    return sum_of(a, b);
  }
  return difference_of(std::max(a, b), std::min(a, b));
}

using Patterns = std::vector<std::string_view>;

const Patterns& plus_questions(Language language) {
  static const Patterns en = {
      "What is {a} + {b}?",
      "{a} + {b} = ?",
      "What is {a} plus {b}?",
      "Add {a} and {b}.",
      "How much is {a} plus {b}?",
      "What is the sum of {a} and {b}?",
      "{N} has {a} {things} and gets {b} more. How many {things} now?",
      "There are {a} {things} in one box and {b} in another. How many in all?"};
  static const Patterns zh = {"{a} + {b} 等于多少？",
                              "{a} + {b} = ？",
                              "{a}加{b}等于几？",
                              "请算一算：{a} + {b}。",
                              "{a}和{b}的和是多少？",
                              "{a}加上{b}是多少？",
                              "{N}有{a}个{things}，又得到{b}个，现在一共有多少个？",
                              "一个盒子里有{a}个{things}，另一个盒子里有{b}个，一共有多少个？"};
  return language == Language::en ? en : zh;
}

const Patterns& minus_questions(Language language) {
  static const Patterns en = {
      "What is {a} - {b}?",
      "{a} - {b} = ?",
      "What is {a} minus {b}?",
      "Take {b} away from {a}.",
      "How much is {a} minus {b}?",
      "What is the difference of {a} and {b}?",
      "{N} has {a} {things} and gives away {b}. How many {things} are left?",
      "There are {a} {things} in a box. We take out {b}. How many are left?"};
  static const Patterns zh = {"{a} - {b} 等于多少？",
                              "{a} - {b} = ？",
                              "{a}减{b}等于几？",
                              "请算一算：{a} - {b}。",
                              "{a}和{b}的差是多少？",
                              "{a}减去{b}是多少？",
                              "{N}有{a}个{things}，送给别人{b}个，还剩多少个？",
                              "盒子里有{a}个{things}，拿走{b}个，还剩多少个？"};
  return language == Language::en ? en : zh;
}

std::string_view any_thing(const Draw& draw) {
  static const Patterns en = {"apples", "books", "balls", "cups", "stars", "eggs"};
  static const Patterns zh = {"苹果", "球", "杯子", "橘子", "星星", "鸡蛋"};
  return pick(draw.language == Language::en ? en : zh, draw.random);
}

std::vector<std::string> accepted_numbers(const Draw& draw, int result) {
  if (draw.language == Language::en) {
    return {fmt::format("{}", result), fmt::format("The answer is {}", result),
            fmt::format("It is {}", result), fmt::format("= {}", result)};
  }
  return {fmt::format("{}", result), fmt::format("答案是{}", result), fmt::format("等于{}", result),
          fmt::format("{}个", result)};
}

// Calls make(), which gives the sums of one line, until all of them may stand in this split.
template <typename Make>
std::string sums_line(const Draw& draw, Make&& make) {
  const EvalItem item = draw_in_split(draw.split, [&] {
    EvalItem line;
    for (const Sum& sum : make()) {
      line.keys.push_back(sum.key());
      line.answer += (line.answer.empty() ? "" : ", ") + sum.equation();
    }
    return line;
  });
  return item.answer;
}

std::string equation_line(const Draw& draw) {
  return sums_line(draw, [&] { return std::vector<Sum>{any_sum(draw)}; });
}

std::string working_line(const Draw& draw) {
  std::string shown;
  return sums_line(draw,
                   [&] {
                     const Sum sum = any_sum(draw);
                     shown = working(sum);
                     return std::vector<Sum>{sum};
                   })
      .insert(0, shown);
}

// What two numbers and their sum have to do with each other.
std::string family_line(const Draw& draw) {
  return sums_line(draw, [&] {
    const Sum sum = any_sum(draw);
    const int c = std::max(sum.a, sum.result()), a = sum.plus ? sum.a : sum.b, b = c - a;
    std::vector<Sum> family = {sum_of(a, b), sum_of(b, a), difference_of(c, a),
                               difference_of(c, b)};
    shuffle(family, draw.random);
    family.resize(2 + draw.random.below(2));
    return family;
  });
}

// The same number plus (or minus) rising numbers; what is of another split is left out.
std::string row_line(const Draw& draw) {
  const int top = max_number(draw.level());
  const bool plus = chance(0.5, draw.random);
  const int a = between(plus ? 0 : top / 2, plus ? top / 2 : top, draw.random);
  const int last = plus ? top - a : a;
  std::string out;
  int shown = 0;
  for (int b = between(0, std::max(0, last - 4), draw.random); b <= last && shown < 5; ++b) {
    const Sum sum = plus ? sum_of(a, b) : difference_of(a, b);
    if (split_of(sum.key()) != draw.split) continue;
    out += (out.empty() ? "" : ", ") + sum.equation();
    ++shown;
  }
  return out.empty() ? equation_line(draw) : out;
}

std::string product_line(const Draw& draw) {
  const int top = max_factor(draw.level());
  const int a = between(1, top, draw.random), b = between(1, top, draw.random);
  return fmt::format("{} × {} = {}", a, b, a * b);
}

std::string counting_line(const Draw& draw) {
  const int top = max_number(draw.level());
  const int length = between(5, 10, draw.random);
  const int step = chance(0.8, draw.random) ? 1 : 2;
  const int first = between(0, std::max(0, top - length * step), draw.random);
  const bool down = chance(0.3, draw.random);
  std::vector<std::string> numbers;
  for (int i = 0; i < length; ++i) {
    const int k = down ? length - 1 - i : i;
    numbers.push_back(fmt::format("{}", first + k * step));
  }
  return join(numbers, draw.in(", ", "、"));
}

std::string neighbour_line(const Draw& draw) {
  const int n = between(0, max_number(draw.level()) - 1, draw.random);
  return draw.language == Language::en
             ? fmt::format("After {} comes {}. Before {} comes {}.", n, n + 1, n + 1, n)
             : fmt::format("{}后面是{}，{}前面是{}。", n, n + 1, n + 1, n);
}

}  // namespace

EvalItem sum_question(const Draw& draw) {
  return draw_in_split(draw.split, [&] {
    const Sum sum = any_sum(draw);
    const auto& questions =
        sum.plus ? plus_questions(draw.language) : minus_questions(draw.language);
    const std::string a = fmt::format("{}", sum.a), b = fmt::format("{}", sum.b);
    const Person& person =
        all_people()[draw.random.below(static_cast<std::uint64_t>(draw.world().people()))];
    const std::string question =
        fill(pick(questions, draw.random),
             {{"a", a}, {"b", b}, {"N", person.name(draw.language)}, {"things", any_thing(draw)}});
    EvalItem item = ask("arithmetic", draw.language, sum.key(), question,
                        working(sum) + sum.equation() + std::string(draw.in(".", "。")),
                        accepted_numbers(draw, sum.result()));
    item.accepted.push_back(sum.equation());
    item.shows_working = true;
    return item;
  });
}

EvalItem product_question(const Draw& draw) {
  static const Patterns en = {"What is {a} × {b}?",
                              "{a} × {b} = ?",
                              "What is {a} times {b}?",
                              "Multiply {a} by {b}.",
                              "How much is {a} times {b}?",
                              "What is the product of {a} and {b}?",
                              "What do you get for {a} × {b}?",
                              "Work out {a} × {b}."};
  static const Patterns zh = {"{a} × {b} 等于多少？",  "{a} × {b} = ？",     "{a}乘{b}等于几？",
                              "请算一算：{a} × {b}。", "{a}乘以{b}是多少？", "{a}和{b}的积是多少？",
                              "{a}个{b}相加是多少？",  "{a} × {b} 得多少？"};
  return draw_in_split(draw.split, [&] {
    const int top = max_factor(draw.level());
    const int a = between(1, top, draw.random), b = between(1, top, draw.random);
    const auto& questions = draw.language == Language::en ? en : zh;
    const std::size_t form = draw.random.below(questions.size());
    return ask("times", draw.language,
               fmt::format("mul:{}:{},{}:{}", name(draw.language), a, b, form),
               fill(questions[form], {{"a", fmt::format("{}", a)}, {"b", fmt::format("{}", b)}}),
               fmt::format("{} × {} = {}{}", a, b, a * b, draw.in(".", "。")),
               accepted_numbers(draw, a * b));
  });
}

EvalItem compare_question(const Draw& draw) {
  static const Patterns en_more = {"Which is bigger, {a} or {b}?",
                                   "Which number is larger: {a} or {b}?",
                                   "Tell me the bigger number: {a}, {b}."};
  static const Patterns en_less = {"Which is smaller, {a} or {b}?",
                                   "Which number is less: {a} or {b}?",
                                   "Tell me the smaller number: {a}, {b}."};
  static const Patterns zh_more = {"{a}和{b}，哪个大？", "{a}和{b}哪个数更大？",
                                   "说出较大的数：{a}、{b}。"};
  static const Patterns zh_less = {"{a}和{b}，哪个小？", "{a}和{b}哪个数更小？",
                                   "说出较小的数：{a}、{b}。"};
  return draw_in_split(draw.split, [&] {
    const int top = max_compared(draw.level());
    const int a = between(0, top, draw.random);
    const int b = (a + between(1, top, draw.random)) % (top + 1);
    const bool more = chance(0.5, draw.random);
    const auto& questions =
        draw.language == Language::en ? (more ? en_more : en_less) : (more ? zh_more : zh_less);
    const int answer = more ? std::max(a, b) : std::min(a, b);
    return ask(
        "compare", draw.language, fmt::format("compare:{},{}", std::min(a, b), std::max(a, b)),
        fill(pick(questions, draw.random),
             {{"a", fmt::format("{}", a)}, {"b", fmt::format("{}", b)}}),
        fmt::format("{}{}", answer, draw.in(".", "。")),
        more
            ? std::vector<std::string>{fmt::format("{} is bigger", answer),
                                       fmt::format("{}大", answer), fmt::format("{}更大", answer)}
            : std::vector<std::string>{fmt::format("{} is smaller", answer),
                                       fmt::format("{}小", answer), fmt::format("{}更小", answer)});
  });
}

std::string arithmetic_document(const Draw& draw) {
  using Line = std::string (*)(const Draw&);
  struct Kind {
    double share;
    int lines;
    Line make;
  };
  static constexpr Kind kKinds[] = {
      {0.20, 12, equation_line},
      {0.20, 6, working_line},
      {0.10, 4, family_line},
      {0.10, 3, row_line},
      {0.08, 8, product_line},
      {0.14, 6, [](const Draw& d) { return as_text(sum_question(d), d.random); }},
      {0.10, 6, [](const Draw& d) { return as_text(compare_question(d), d.random); }},
      {0.04, 4, counting_line},
      {0.04, 4, neighbour_line},
  };
  double left = draw.random.uniform();
  const Kind* kind = kKinds;
  while (left >= kind->share && kind + 1 != std::end(kKinds)) left -= (kind++)->share;
  std::string out;
  for (int i = between(kind->lines / 2, kind->lines, draw.random); i > 0; --i) {
    if (!out.empty()) out += '\n';
    out += kind->make(draw);
  }
  return out;
}

}  // namespace stepstone::synth
