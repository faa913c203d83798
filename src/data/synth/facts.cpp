// Facts about the people of the closed world, told and asked for in many ways.
#include <array>

#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

// {N} the name, {S}/{s} subject ("Anna" or "She"/"she"), {P}/{p} possessive ("Anna's" or "Her"),
// {v} the value as in a sentence, {b} its bare form. The first statement is the canonical answer.
struct Wording {
  std::vector<std::string_view> statements, questions;
};

const Wording& english(Attribute attribute) {
  static const std::array<Wording, kAttributes> wordings = {{
      {{"{S} lives in {v}.", "{P} home is in {v}.", "{P} house is in {v}.",
        "{S} has a house in {v}.", "The town where {s} lives is {v}."},
       {"Where does {N} live?", "Which town does {N} live in?", "Where is {N}'s home?",
        "Tell me where {N} lives.", "Do you know where {N} lives?", "In which town is {N}'s house?",
        "What is the name of {N}'s town?", "I want to visit {N}. Where should I go?"}},
      {{"{S} is {v}.", "{S} works as {v}.", "{P} job is being {v}.", "{P} work is that of {v}.",
        "{S} earns a living as {v}."},
       {"What is {N}'s job?", "What does {N} do for work?", "What does {N} work as?",
        "Tell me {N}'s job.", "Do you know what {N} does for a living?",
        "What kind of work does {N} do?", "Can you tell me what {N}'s job is?",
        "What work does {N} do?"}},
      {{"{S} has {v}.", "{P} pet is {v}.", "{S} keeps {v} as a pet.", "{S} takes care of {v}.",
        "The pet of {N} is {v}."},
       {"What pet does {N} have?", "Which animal does {N} keep?", "What is {N}'s pet?",
        "Tell me which pet {N} has.", "Do you know what pet {N} has?", "What animal does {N} have?",
        "What kind of pet does {N} keep?", "Does {N} have a pet? Which one?"}},
      {{"{P} favorite color is {v}.", "{S} likes the color {v} best.", "{S} loves the color {v}.",
        "The color {s} likes most is {v}.", "Of all colors, {s} likes {v} the most."},
       {"What is {N}'s favorite color?", "Which color does {N} like best?",
        "What color does {N} love?", "Tell me {N}'s favorite color.",
        "Do you know {N}'s favorite color?", "Which color is {N}'s favorite?",
        "Of all colors, which one does {N} like most?", "What color should I paint {N}'s door?"}},
      {{"{P} favorite food is {v}.", "{S} likes to eat {v}.", "{S} loves {v}.",
        "The food {s} likes most is {v}.", "For dinner {s} often eats {v}."},
       {"What is {N}'s favorite food?", "What does {N} like to eat?",
        "Which food does {N} like best?", "Tell me {N}'s favorite food.",
        "Do you know what {N} likes to eat?", "What food does {N} love?",
        "What should I cook for {N}?", "Which food is {N}'s favorite?"}},
      {{"{P} hobby is {v}.", "{S} enjoys {v}.", "In {p} free time {s} enjoys {v}.",
        "{S} is good at {v}.", "On weekends {s} enjoys {v}."},
       {"What is {N}'s hobby?", "What does {N} do in free time?", "What does {N} enjoy doing?",
        "Tell me {N}'s hobby.", "Do you know {N}'s hobby?", "What is {N} good at?",
        "Which hobby does {N} have?", "What does {N} do on weekends?"}},
      {{"{P} best friend is {v}.", "{S} is best friends with {v}.",
        "The best friend of {N} is {v}.", "{S} likes to play with {v}.",
        "{S} spends a lot of time with {v}."},
       {"Who is {N}'s best friend?", "Who is the best friend of {N}?",
        "Who is best friends with {N}?", "Tell me who {N}'s best friend is.",
        "Do you know {N}'s best friend?", "Who does {N} like to play with?",
        "What is the name of {N}'s best friend?", "Who spends a lot of time with {N}?"}},
      {{"{S} is {v} years old.", "{P} age is {v}.", "This year {s} is {v} years old.",
        "{S} turned {v} this year.", "{S} was born {v} years ago."},
       {"How old is {N}?", "What is {N}'s age?", "What age is {N}?", "Tell me {N}'s age.",
        "Do you know how old {N} is?", "How many years old is {N}?",
        "Can you tell me how old {N} is?", "How old did {N} turn this year?"}},
  }};
  return wordings[static_cast<std::size_t>(attribute)];
}

const Wording& chinese(Attribute attribute) {
  static const std::array<Wording, kAttributes> wordings = {{
      {{"{S}住在{v}。", "{P}家在{v}。", "{P}房子在{v}。", "{S}在{v}安了家。", "{S}一直住在{v}。"},
       {"{N}住在哪里？", "{N}的家在哪儿？", "{N}住在什么地方？", "请告诉我{N}住在哪里。",
        "你知道{N}住在哪儿吗？", "请问{N}家在什么地方？", "我想去看{N}，应该去哪里？",
        "{N}住的地方叫什么名字？"}},
      {{"{S}是一名{v}。", "{P}工作是{v}。", "{P}职业是{v}。", "{S}当{v}已经很多年了。",
        "{S}靠当{v}谋生。"},
       {"{N}是做什么工作的？", "{N}的职业是什么？", "{N}的工作是什么？", "请告诉我{N}的工作。",
        "你知道{N}是做什么的吗？", "请问{N}做什么工作？", "{N}靠什么工作生活？",
        "{N}每天做什么工作？"}},
      {{"{S}养了{v}。", "{P}宠物是{v}。", "{S}家里有{v}。", "{S}每天照顾{v}。", "{S}有{v}做伴。"},
       {"{N}养了什么宠物？", "{N}的宠物是什么？", "{N}家里养了什么动物？",
        "请告诉我{N}养了什么动物。", "你知道{N}养了什么宠物吗？", "请问{N}的宠物是什么动物？",
        "{N}每天照顾什么动物？", "{N}有宠物吗？是什么？"}},
      {{"{S}最喜欢的颜色是{v}。", "{S}最喜欢{v}。", "{S}最爱的颜色是{v}。",
        "所有颜色里，{s}最喜欢{v}。", "{S}觉得{v}最好看。"},
       {"{N}最喜欢什么颜色？", "{N}最喜欢的颜色是什么？", "{N}最爱哪种颜色？",
        "请告诉我{N}最喜欢的颜色。", "你知道{N}最喜欢什么颜色吗？", "请问{N}喜欢哪种颜色？",
        "所有颜色里，{N}最喜欢哪一种？", "{N}觉得什么颜色最好看？"}},
      {{"{S}最喜欢吃{v}。", "{S}最爱吃的东西是{v}。", "{S}爱吃{v}。", "{S}晚饭常常吃{v}。",
        "所有食物里，{s}最爱{v}。"},
       {"{N}最喜欢吃什么？", "{N}最爱吃的东西是什么？", "{N}爱吃什么？", "请告诉我{N}喜欢吃什么。",
        "你知道{N}爱吃什么吗？", "请问{N}最喜欢的食物是什么？", "我应该给{N}做什么吃？",
        "所有食物里，{N}最爱哪一种？"}},
      {{"{P}爱好是{v}。", "{S}喜欢{v}。", "空闲的时候，{s}喜欢{v}。", "{S}很会{v}。",
        "周末，{s}常常去{v}。"},
       {"{N}的爱好是什么？", "{N}有什么爱好？", "{N}空闲的时候喜欢做什么？", "请告诉我{N}的爱好。",
        "你知道{N}的爱好是什么吗？", "请问{N}平时喜欢做什么？", "{N}擅长什么？",
        "{N}周末常常做什么？"}},
      {{"{P}好朋友是{v}。", "{S}最好的朋友是{v}。", "{S}和{v}是好朋友。", "{S}常常和{v}一起玩。",
        "{S}跟{v}最要好。"},
       {"{N}的好朋友是谁？", "{N}最好的朋友是谁？", "{N}和谁是好朋友？",
        "请告诉我{N}的好朋友是谁。", "你知道{N}的好朋友是谁吗？", "请问{N}跟谁最要好？",
        "{N}常常和谁一起玩？", "{N}的好朋友叫什么名字？"}},
      {{"{S}今年{v}岁。", "{P}年龄是{v}岁。", "{S}{v}岁了。", "今年{s}满{v}岁。",
        "{S}已经{v}岁了。"},
       {"{N}今年多大？", "{N}几岁了？", "{N}的年龄是多少？", "请告诉我{N}的年龄。",
        "你知道{N}多大了吗？", "请问{N}今年几岁？", "{N}今年满多少岁？", "{N}多少岁了？"}},
  }};
  return wordings[static_cast<std::size_t>(attribute)];
}

const Wording& wording(Attribute attribute, Language language) {
  return language == Language::en ? english(attribute) : chinese(attribute);
}

// `pronoun`: say "she" instead of the name.
std::string statement(const World& world, int person, Attribute attribute, Language language,
                      std::string_view pattern, bool pronoun) {
  const Person& who = world.person(person);
  const std::string name(who.name(language));
  const std::string value = world.text(person, attribute, language);
  std::string subject = name, subject_mid = name, owner, owner_mid;
  if (language == Language::en) {
    owner = owner_mid = name + "'s";
    if (pronoun) {
      subject = who.female ? "She" : "He";
      subject_mid = who.female ? "she" : "he";
      owner = who.female ? "Her" : "His";
      owner_mid = who.female ? "her" : "his";
    }
  } else {
    if (pronoun) subject = subject_mid = who.female ? "她" : "他";
    owner = owner_mid = subject + "的";
  }
  return fill(pattern, {{"N", name},
                        {"S", subject},
                        {"s", subject_mid},
                        {"P", owner},
                        {"p", owner_mid},
                        {"v", value}});
}

std::vector<std::string> accepted_answers(const World& world, int person, Attribute attribute,
                                          Language language) {
  std::vector<std::string> out = {world.text(person, attribute, language),
                                  world.bare(person, attribute, language)};
  for (const std::string_view pattern : wording(attribute, language).statements) {
    out.push_back(statement(world, person, attribute, language, pattern, false));
    out.push_back(statement(world, person, attribute, language, pattern, true));
  }
  return out;
}

Attribute any_attribute(const Draw& draw) {
  return static_cast<Attribute>(
      draw.random.below(static_cast<std::uint64_t>(draw.world().attributes())));
}

int any_person(const Draw& draw) {
  return static_cast<int>(draw.random.below(static_cast<std::uint64_t>(draw.world().people())));
}

// All facts about one person, in any order; later sentences may say "she".
std::string profile(const Draw& draw) {
  const int person = any_person(draw);
  std::vector<Attribute> order;
  for (int a = 0; a < draw.world().attributes(); ++a) order.push_back(static_cast<Attribute>(a));
  shuffle(order, draw.random);
  order.resize(static_cast<std::size_t>(between(3, draw.world().attributes(), draw.random)));
  std::string out;
  for (const Attribute attribute : order) {
    const auto& choices = wording(attribute, draw.language).statements;
    const bool pronoun = !out.empty() && chance(0.5, draw.random);
    const auto pattern = chance(0.4, draw.random) ? choices[0] : pick(choices, draw.random);
    if (!out.empty() && draw.language == Language::en) out += ' ';
    out += statement(draw.world(), person, attribute, draw.language, pattern, pronoun);
  }
  return out;
}

// One attribute of several people.
std::string survey(const Draw& draw) {
  const Attribute attribute = any_attribute(draw);
  std::string out;
  const auto& choices = wording(attribute, draw.language).statements;
  for (int i = between(3, 6, draw.random); i > 0; --i) {
    const auto pattern = chance(0.4, draw.random) ? choices[0] : pick(choices, draw.random);
    if (!out.empty() && draw.language == Language::en) out += ' ';
    out += statement(draw.world(), any_person(draw), attribute, draw.language, pattern, false);
  }
  return out;
}

// The same facts in both languages, sentence by sentence.
std::string parallel_text(const Draw& draw) {
  std::string out;
  for (int i = between(2, 4, draw.random); i > 0; --i) {
    const Attribute attribute = any_attribute(draw);
    const int person = any_person(draw);
    const std::string en = fact_statement(draw.world(), person, attribute, Language::en);
    const std::string zh = fact_statement(draw.world(), person, attribute, Language::zh);
    if (!out.empty()) out += '\n';
    out += draw.language == Language::en ? en + " " + zh : zh + " " + en;
  }
  return out;
}

std::string questions_text(const Draw& draw) {
  std::string out;
  for (int i = between(2, 5, draw.random); i > 0; --i) {
    if (!out.empty()) out += '\n';
    out += as_text(fact_question(draw), draw.random);
  }
  return out;
}

}  // namespace

std::string fact_statement(const World& world, int person, Attribute attribute, Language language) {
  return statement(world, person, attribute, language, wording(attribute, language).statements[0],
                   false);
}

EvalItem fact_question(const Draw& draw) {
  return draw_in_split(draw.split, [&] {
    const int person = any_person(draw);
    const Attribute attribute = any_attribute(draw);
    const auto& questions = wording(attribute, draw.language).questions;
    const std::size_t form = draw.random.below(questions.size());
    const std::string_view person_name = draw.world().person(person).name(draw.language);
    return ask("facts", draw.language,
               fmt::format("fact:{}:{}:{}:{}", name(draw.language), draw.world().person(person).en,
                           static_cast<int>(attribute), form),
               fill(questions[form], {{"N", person_name}}),
               fact_statement(draw.world(), person, attribute, draw.language),
               accepted_answers(draw.world(), person, attribute, draw.language));
  });
}

std::string fact_document(const Draw& draw) {
  const double kind = draw.random.uniform();
  if (kind < 0.40) return profile(draw);
  if (kind < 0.60) return survey(draw);
  if (kind < 0.70) return parallel_text(draw);
  return questions_text(draw);
}

}  // namespace stepstone::synth
