// Short stories with consistent characters and objects, and questions about them.
#include <array>

#include "data/synth/plots.h"
#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

struct Word {
  std::string_view en, zh;
  std::string_view in(Language language) const { return language == Language::en ? en : zh; }
};

constexpr std::array<Word, 12> kThings = {{{"ball", "皮球"},
                                           {"kite", "风筝"},
                                           {"doll", "布娃娃"},
                                           {"robot", "机器人"},
                                           {"toy bear", "玩具熊"},
                                           {"box", "盒子"},
                                           {"toy car", "玩具车"},
                                           {"drum", "小鼓"},
                                           {"whistle", "哨子"},
                                           {"balloon", "气球"},
                                           {"puppet", "木偶"},
                                           {"bell", "铃铛"}}};
constexpr std::array<Word, 8> kColors = {{{"red", "红色"},
                                          {"blue", "蓝色"},
                                          {"green", "绿色"},
                                          {"yellow", "黄色"},
                                          {"white", "白色"},
                                          {"black", "黑色"},
                                          {"purple", "紫色"},
                                          {"pink", "粉色"}}};
// The first kIndoorPlaces are no places to rest in after a race.
constexpr std::size_t kIndoorPlaces = 3;
constexpr std::array<Word, 10> kPlaces = {{{"under the bed", "床底下"},
                                           {"behind the door", "门后面"},
                                           {"in the kitchen", "厨房里"},
                                           {"in the garden", "花园里"},
                                           {"under a tree", "大树下"},
                                           {"by the river", "河边"},
                                           {"near the school", "学校旁边"},
                                           {"in the barn", "谷仓里"},
                                           {"next to the bridge", "桥边"},
                                           {"behind the house", "屋子后面"}}};
constexpr std::array<Word, 8> kAnimals = {{{"cat", "猫"},
                                           {"dog", "狗"},
                                           {"rabbit", "兔子"},
                                           {"bird", "鸟"},
                                           {"duck", "鸭子"},
                                           {"goat", "山羊"},
                                           {"turtle", "乌龟"},
                                           {"squirrel", "松鼠"}}};
constexpr std::array<Word, 8> kFoods = {{{"bread", "面包"},
                                         {"rice", "米饭"},
                                         {"cake", "蛋糕"},
                                         {"soup", "汤"},
                                         {"apples", "苹果"},
                                         {"carrots", "胡萝卜"},
                                         {"noodles", "面条"},
                                         {"eggs", "鸡蛋"}}};
constexpr std::array<Word, 4> kNumbers = {
    {{"two", "两"}, {"three", "三"}, {"four", "四"}, {"five", "五"}}};

struct Story {
  const Plot* plot;
  std::vector<Slot> slots;
  std::string key;
};

// What happens, in fixed words: stories that differ only in wording share it.
std::string story_key(const Plot& plot, const std::vector<Slot>& slots) {
  std::string key = "story:";
  for (const Sentence& sentence : plot.sentences) {
    if (sentence.needed) key += fill(sentence.wordings[0], slots);
  }
  return key;
}

Story any_story(const Draw& draw) {
  const Language language = draw.language;
  Random& random = draw.random;
  const Plot& plot = pick(plots(language), random);
  const int people = draw.world().people();
  const int a = between(0, people - 1, random);
  const int b = (a + between(1, people - 1, random)) % people;
  const Person& first = draw.world().person(a);
  const Person& second = draw.world().person(b);
  const std::size_t lowest = plot.outdoors ? kIndoorPlaces : 0;
  const std::size_t place = lowest + random.below(kPlaces.size() - lowest);
  const std::size_t there = (place + 1 + random.below(kPlaces.size() - 1)) % kPlaces.size();
  const bool en = language == Language::en;
  Story story{&plot,
              {{"A", first.name(language)},
               {"B", second.name(language)},
               {"a", en ? (first.female ? "she" : "he") : (first.female ? "她" : "他")},
               {"a^", first.female ? "She" : "He"},
               {"A's", first.female ? "her" : "his"},
               {"thing", pick(kThings, random).in(language)},
               {"place", kPlaces[place].in(language)},
               {"there", kPlaces[there].in(language)},
               {"animal", pick(kAnimals, random).in(language)},
               {"food", pick(kFoods, random).in(language)},
               {"color", pick(kColors, random).in(language)},
               {"number", pick(kNumbers, random).in(language)}},
              {}};
  story.key = story_key(plot, story.slots);
  return story;
}

// The whole story, or only what its questions need.
std::string tell(const Story& story, const Draw& draw, bool whole) {
  std::string out;
  for (const Sentence& sentence : story.plot->sentences) {
    if (!sentence.needed && (!whole || chance(0.3, draw.random))) continue;
    if (!out.empty() && draw.language == Language::en) out += ' ';
    out += fill(pick(sentence.wordings, draw.random), story.slots);
  }
  return out;
}

// Asks the index-th question after `text`.
EvalItem question_about(const Story& story, const Draw& draw, std::size_t index,
                        std::string_view text) {
  const StoryQuestion& question = story.plot->questions[index];
  const std::string asked = fill(question.question, story.slots);
  return ask("story", draw.language, story.key,
             text.empty() ? asked : fmt::format("{}\n{}", text, asked),
             fill(question.answer, story.slots), {fill(question.bare, story.slots)});
}

}  // namespace

EvalItem story_question(const Draw& draw) {
  return draw_in_split(draw.split, [&] {
    const Story story = any_story(draw);
    return question_about(story, draw, draw.random.below(story.plot->questions.size()),
                          tell(story, draw, /*whole=*/false));
  });
}

std::string story_document(const Draw& draw) {
  const bool ask_first = chance(0.35, draw.random);  // "Question: story, question"
  const bool ask_after = chance(0.5, draw.random);   // the story, then some questions about it
  if (ask_first) return as_text(story_question(draw), draw.random);
  const EvalItem item = draw_in_split(draw.split, [&] {
    const Story story = any_story(draw);
    EvalItem document;
    document.keys = {story.key};
    document.answer = tell(story, draw, /*whole=*/true);
    if (!ask_after) return document;
    const std::size_t count = story.plot->questions.size();
    const std::size_t first = draw.random.below(count);
    for (std::size_t i = 0; i < 2; ++i) {
      document.answer +=
          '\n' + as_text(question_about(story, draw, (first + i) % count, ""), draw.random);
    }
    return document;
  });
  return item.answer;
}

}  // namespace stepstone::synth
