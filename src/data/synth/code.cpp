// Tiny Python programs and what they print.
#include <algorithm>

#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

struct Snippet {
  std::string key, code, output;
};

constexpr std::string_view kWords[] = {"cat",  "dog",  "sun",  "moon", "tree",  "book",
                                       "fish", "bird", "ball", "star", "apple", "river"};
constexpr std::string_view kNames[] = {"x", "y", "a", "b", "n", "k"};

std::vector<std::string> distinct_words(const Draw& draw, std::size_t count) {
  std::vector<std::string> out;
  while (out.size() < count) {
    std::string word(pick(kWords, draw.random));
    if (std::find(out.begin(), out.end(), word) == out.end()) out.push_back(std::move(word));
  }
  return out;
}

std::string quoted(const std::vector<std::string>& words) {
  std::string out = "[";
  for (const std::string& word : words) {
    if (out.size() > 1) out += ", ";
    out += '"' + word + '"';
  }
  return out + "]";
}

Snippet assignment(const Draw& draw) {
  const std::string word(pick(kWords, draw.random));
  const std::string first(pick(kNames, draw.random));
  std::string second = first;
  while (second == first) second = pick(kNames, draw.random);
  const int number = between(1, draw.level() == 0 ? 20 : 100, draw.random);
  const bool ask_first = chance(0.5, draw.random);
  return {fmt::format("{}={},{}={}", first, word, second, number),
          fmt::format("{} = \"{}\"\n{} = {}\nprint({})", first, word, second, number,
                      ask_first ? first : second),
          ask_first ? word : fmt::format("{}", number)};
}

Snippet concatenation(const Draw& draw) {
  const auto words = distinct_words(draw, 2);
  return {words[0] + "+" + words[1],
          fmt::format("print(\"{}\" + \" \" + \"{}\")", words[0], words[1]),
          words[0] + " " + words[1]};
}

Snippet loop(const Draw& draw) {
  const int n = between(2, draw.level() == 0 ? 5 : 9, draw.random);
  const std::string word(pick(kWords, draw.random));
  std::vector<std::string> printed(static_cast<std::size_t>(n), word);
  return {fmt::format("loop:{}:{}", n, word),
          fmt::format("for i in range({}):\n    print(\"{}\")", n, word), join(printed, "\n")};
}

Snippet indexing(const Draw& draw) {
  const auto words = distinct_words(draw, 3);
  const std::size_t index = draw.random.below(3);
  return {"index:" + join(words, ","), fmt::format("w = {}\nprint(w[{}])", quoted(words), index),
          words[index]};
}

Snippet extreme(const Draw& draw) {
  const int top = draw.level() == 0 ? 20 : 100;
  const int a = between(0, top, draw.random);
  const int b = (a + between(1, top, draw.random)) % (top + 1);
  const bool largest = chance(0.5, draw.random);
  return {fmt::format("extreme:{},{}", std::min(a, b), std::max(a, b)),
          fmt::format("print({}({}, {}))", largest ? "max" : "min", a, b),
          fmt::format("{}", largest ? std::max(a, b) : std::min(a, b))};
}

Snippet length(const Draw& draw) {
  const auto words = distinct_words(draw, static_cast<std::size_t>(between(1, 4, draw.random)));
  auto sorted = words;
  std::sort(sorted.begin(), sorted.end());
  return {"len:" + join(sorted, ","), fmt::format("print(len({}))", quoted(words)),
          fmt::format("{}", words.size())};
}

Snippet any_snippet(const Draw& draw) {
  using Make = Snippet (*)(const Draw&);
  static constexpr Make kMakers[] = {assignment, concatenation, loop, indexing, extreme, length};
  return pick(kMakers, draw.random)(draw);
}

}  // namespace

EvalItem code_question(const Draw& draw) {
  static const std::vector<std::string_view> en = {
      "What does this program print?", "What is the output of this code?", "Run this code:"};
  static const std::vector<std::string_view> zh = {"这个程序会输出什么？", "这段代码的输出是什么？",
                                                   "运行这段代码："};
  return draw_in_split(draw.split, [&] {
    const Snippet snippet = any_snippet(draw);
    EvalItem item =
        ask("code", draw.language, "code:" + snippet.key,
            fmt::format("{}\n{}", pick(draw.language == Language::en ? en : zh, draw.random),
                        snippet.code),
            snippet.output);
    item.match_case = true;
    return item;
  });
}

std::string code_document(const Draw& draw) {
  std::string out;
  for (int i = between(2, 4, draw.random); i > 0; --i) {
    if (!out.empty()) out += "\n\n";
    out += as_text(code_question(draw), draw.random);
  }
  return out;
}

}  // namespace stepstone::synth
