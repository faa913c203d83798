// Instructions about short lists: copy, reverse, sort, count, longest, upper case, pick.
#include <algorithm>
#include <array>

#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

using Patterns = std::vector<std::string_view>;

struct Word {
  std::string_view en, zh;
};

const std::vector<Word>& words() {
  static const std::vector<Word> list = {
      {"cat", "猫"},     {"dog", "狗"},     {"sun", "太阳"}, {"moon", "月亮"},  {"tree", "树"},
      {"book", "书"},    {"fish", "鱼"},    {"bird", "鸟"},  {"ball", "球"},    {"star", "星星"},
      {"milk", "牛奶"},  {"rain", "雨"},    {"snow", "雪"},  {"door", "门"},    {"apple", "苹果"},
      {"table", "桌子"}, {"chair", "椅子"}, {"river", "河"}, {"flower", "花"},  {"cake", "蛋糕"},
      {"hat", "帽子"},   {"boat", "船"},    {"lamp", "灯"},  {"stone", "石头"},
  };
  return list;
}

// Words whose lengths differ visibly, for "longest": grouped by length, shortest first.
const std::vector<Patterns>& words_by_length(Language language) {
  static const std::vector<Patterns> en = {{"cat", "dog", "sun", "hat"},
                                           {"table", "apple", "river", "chair"},
                                           {"elephant", "mountain", "sandwich", "computer"}};
  static const std::vector<Patterns> zh = {{"猫", "树", "河", "花"},
                                           {"苹果", "桌子", "月亮", "蛋糕"},
                                           {"自行车", "图书馆", "电影院", "洗衣机"}};
  return language == Language::en ? en : zh;
}

int min_length(int level) { return level == 0 ? 3 : 3 + level; }
int max_length(int level) { return level == 0 ? 4 : 5 + 2 * level; }
int max_item(int level) { return level == 0 ? 20 : level == 1 ? 100 : 1000; }

std::string listed(const Draw& draw, const std::vector<std::string>& items) {
  return join(items, draw.in(", ", "、"));
}

std::vector<std::string> any_words(const Draw& draw, int count) {
  std::vector<int> order;
  for (int i = 0; i < static_cast<int>(words().size()); ++i) order.push_back(i);
  shuffle(order, draw.random);
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) {
    const Word& word = words()[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
    out.emplace_back(draw.in(word.en, word.zh));
  }
  return out;
}

int any_length(const Draw& draw) {
  return between(min_length(draw.level()), max_length(draw.level()), draw.random);
}

// Distinct numbers in random order.
std::vector<int> any_numbers(const Draw& draw, int count) {
  std::vector<int> out;
  while (static_cast<int>(out.size()) < count) {
    const int n = between(1, max_item(draw.level()), draw.random);
    if (std::find(out.begin(), out.end(), n) == out.end()) out.push_back(n);
  }
  return out;
}

std::vector<std::string> as_strings(const std::vector<int>& numbers) {
  std::vector<std::string> out;
  for (const int n : numbers) out.push_back(fmt::format("{}", n));
  return out;
}

std::vector<std::string> sorted(std::vector<std::string> items) {
  std::sort(items.begin(), items.end());
  return items;
}

EvalItem ask_list(std::string_view task, const Draw& draw, const Patterns& en, const Patterns& zh,
                  const std::vector<std::string>& items, const std::vector<std::string>& key_items,
                  std::string answer, std::vector<std::string> accepted = {}) {
  const auto& patterns = draw.language == Language::en ? en : zh;
  return ask(task, draw.language, fmt::format("{}:{}", task, join(key_items, ",")),
             fill(pick(patterns, draw.random), {{"list", listed(draw, items)}}), std::move(answer),
             std::move(accepted));
}

}  // namespace

EvalItem copy_question(const Draw& draw) {
  static const Patterns en = {"Copy this list: {list}", "Repeat after me: {list}",
                              "Say these words again: {list}", "Write the same words: {list}"};
  static const Patterns zh = {"请重复：{list}", "请跟我说：{list}", "把下面的词再写一遍：{list}",
                              "照抄一遍：{list}"};
  return draw_in_split(draw.split, [&] {
    const auto items = any_words(draw, any_length(draw));
    return ask_list("copy", draw, en, zh, items, items, listed(draw, items));
  });
}

EvalItem reverse_question(const Draw& draw) {
  static const Patterns en = {"Reverse this list: {list}", "Say these words backwards: {list}",
                              "Write the list in reverse order: {list}",
                              "Turn the order around: {list}"};
  static const Patterns zh = {"请倒过来说：{list}", "把下面的词倒着写：{list}",
                              "反过来排列：{list}", "把顺序颠倒过来：{list}"};
  return draw_in_split(draw.split, [&] {
    auto items = any_words(draw, any_length(draw));
    auto reversed = items;
    std::reverse(reversed.begin(), reversed.end());
    return ask_list("reverse", draw, en, zh, items, items, listed(draw, reversed));
  });
}

EvalItem sort_question(const Draw& draw) {
  static const Patterns en = {"Sort these numbers: {list}", "Put these numbers in order: {list}",
                              "Sort from small to large: {list}",
                              "Arrange these numbers from smallest to largest: {list}"};
  static const Patterns zh = {"请把这些数从小到大排列：{list}", "给这些数排序：{list}",
                              "从小到大排一排：{list}", "把下面的数按从小到大的顺序写出来：{list}"};
  return draw_in_split(draw.split, [&] {
    auto numbers = any_numbers(draw, any_length(draw));
    const auto items = as_strings(numbers);
    std::sort(numbers.begin(), numbers.end());
    const auto ordered = as_strings(numbers);
    return ask_list("sort", draw, en, zh, items, ordered, listed(draw, ordered));
  });
}

EvalItem count_question(const Draw& draw) {
  static const Patterns en = {"How many words are in this list: {list}?",
                              "Count these words: {list}", "How many things are here: {list}?",
                              "How long is this list: {list}?"};
  static const Patterns zh = {"这里有几个词：{list}？", "数一数有几个词：{list}",
                              "下面一共有几样东西：{list}？", "这一串有几项：{list}？"};
  return draw_in_split(draw.split, [&] {
    const int count = between(2, max_length(draw.level()) + 1, draw.random);
    const auto items = any_words(draw, count);
    return ask_list(
        "count", draw, en, zh, items, sorted(items),
        fmt::format("{}{}", count, draw.in(".", "个。")),
        {fmt::format("{}", count), fmt::format("There are {}", count),
         fmt::format("{} words", count), fmt::format("有{}个", count), fmt::format("{}项", count)});
  });
}

EvalItem longest_question(const Draw& draw) {
  static const Patterns en = {"Which word is the longest: {list}?", "Pick the longest word: {list}",
                              "Find the longest word: {list}",
                              "What is the longest word here: {list}?"};
  static const Patterns zh = {"哪个词最长：{list}？", "选出最长的词：{list}",
                              "找出字数最多的词：{list}", "这些词里哪个最长：{list}？"};
  return draw_in_split(draw.split, [&] {
    const auto& groups = words_by_length(draw.language);
    const std::size_t top = 1 + draw.random.below(groups.size() - 1);
    const std::string longest(pick(groups[top], draw.random));
    std::vector<std::string> items = {longest};
    while (items.size() < 3) {
      const std::string other(pick(groups[draw.random.below(top)], draw.random));
      if (std::find(items.begin(), items.end(), other) == items.end()) items.push_back(other);
    }
    shuffle(items, draw.random);
    return ask_list("longest", draw, en, zh, items, sorted(items), longest);
  });
}

EvalItem upper_question(const Draw& draw) {
  static const Patterns en = {"Write in capital letters: {list}",
                              "Make these words uppercase: {list}", "Change to upper case: {list}",
                              "Turn into big letters: {list}"};
  static const Patterns zh = {"请改成大写：{list}", "把这些单词写成大写字母：{list}",
                              "转换成大写：{list}", "用大写字母写：{list}"};
  return draw_in_split(draw.split, [&] {
    std::vector<std::string> items;
    while (items.size() < 2) {
      const std::string word(pick(words(), draw.random).en);
      if (items.empty() || items[0] != word) items.push_back(word);
    }
    const std::string plain = join(items, " ");
    const auto& patterns = draw.language == Language::en ? en : zh;
    EvalItem item = ask("upper", draw.language, "upper:" + join(items, ","),
                        fill(pick(patterns, draw.random), {{"list", plain}}), upper(plain));
    item.match_case = true;
    return item;
  });
}

EvalItem pick_question(const Draw& draw) {
  static const std::array<Patterns, 3> en = {{
      {"What is the first word in this list: {list}?", "Tell me the first word: {list}"},
      {"What is the second word in this list: {list}?", "Tell me the second word: {list}"},
      {"What is the last word in this list: {list}?", "Tell me the last word: {list}"},
  }};
  static const std::array<Patterns, 3> zh = {{
      {"这一串词里第一个是什么：{list}？", "说出第一个词：{list}"},
      {"这一串词里第二个是什么：{list}？", "说出第二个词：{list}"},
      {"这一串词里最后一个是什么：{list}？", "说出最后一个词：{list}"},
  }};
  return draw_in_split(draw.split, [&] {
    const auto items = any_words(draw, any_length(draw));
    const std::size_t which = draw.random.below(3);
    const std::string& word = which == 2 ? items.back() : items[which];
    if (draw.language == Language::zh) {
      return ask_list("pick", draw, en[which], zh[which], items, items, word);
    }
    static constexpr std::string_view kWhich[] = {"first", "second", "last"};
    return ask_list("pick", draw, en[which], zh[which], items, items,
                    fmt::format("The {} word is {}.", kWhich[which], word), {word});
  });
}

std::string list_document(const Draw& draw) {
  using Make = EvalItem (*)(const Draw&);
  // What is harder to learn comes oftener.
  static constexpr Make kMakers[] = {
      copy_question, copy_question, reverse_question, reverse_question, reverse_question,
      sort_question, sort_question, sort_question,    sort_question,    count_question,
      pick_question, pick_question, longest_question, upper_question,
  };
  const bool mixed = chance(0.5, draw.random);
  const Make same = pick(kMakers, draw.random);
  std::string out;
  for (int i = between(3, 8, draw.random); i > 0; --i) {
    if (!out.empty()) out += '\n';
    const Make make = mixed ? pick(kMakers, draw.random) : same;
    out += as_text(make(draw), draw.random);
  }
  return out;
}

}  // namespace stepstone::synth
