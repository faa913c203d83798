// Dialogues: greetings, who the assistant is, and remembering what the user said.
#include <array>

#include "data/synth/theme.h"

namespace stepstone::synth {
namespace {

using Patterns = std::vector<std::string_view>;

struct Exchange {
  std::string_view user, assistant;
};

const std::vector<Exchange>& small_talk_lines(Language language) {
  static const std::vector<Exchange> en = {
      {"Hello!", "Hello! How can I help you?"},
      {"Hi!", "Hi! What can I do for you?"},
      {"Good morning!", "Good morning! How can I help you today?"},
      {"Good evening.", "Good evening! What can I do for you?"},
      {"Who are you?", "I am Stepstone, a small language model."},
      {"What is your name?", "My name is Stepstone."},
      {"Are you a person?", "No, I am a computer program. My name is Stepstone."},
      {"What can you do?", "I can answer questions, do small sums, sort lists and tell stories."},
      {"Who made you?", "I was trained with Stepstone on an ordinary computer."},
      {"How are you?", "I am fine, thank you! How are you?"},
      {"Thank you!", "You are welcome!"},
      {"Thanks for your help.", "You are welcome! Ask me any time."},
      {"Goodbye!", "Goodbye! See you soon."},
      {"See you tomorrow.", "See you tomorrow!"},
      {"Can you speak Chinese?", "Yes, I can speak English and Chinese."},
      {"You are very smart.", "Thank you! I am still learning."},
  };
  static const std::vector<Exchange> zh = {
      {"你好！", "你好！有什么可以帮你的吗？"},
      {"嗨！", "嗨！我能为你做什么？"},
      {"早上好！", "早上好！今天有什么可以帮你的吗？"},
      {"晚上好。", "晚上好！我能为你做什么？"},
      {"你是谁？", "我是Stepstone，一个小小的语言模型。"},
      {"你叫什么名字？", "我叫Stepstone。"},
      {"你是人吗？", "不是，我是一个计算机程序，名叫Stepstone。"},
      {"你会做什么？", "我会回答问题、做简单的算术、给列表排序，还会讲故事。"},
      {"谁创造了你？", "我是用Stepstone在一台普通的电脑上训练出来的。"},
      {"你好吗？", "我很好，谢谢！你呢？"},
      {"谢谢你！", "不客气！"},
      {"谢谢你的帮助。", "不客气，随时可以问我。"},
      {"再见！", "再见！下次见。"},
      {"明天见。", "明天见！"},
      {"你会说英语吗？", "会，我会说中文和英语。"},
      {"你真聪明。", "谢谢！我还在学习。"},
  };
  return language == Language::en ? en : zh;
}

// Something that users say about themselves, and how they ask for it later.
struct Memo {
  Patterns tell;
  std::string_view reply;
  Patterns ask;
  std::string_view answer;
  bool is_name;
  std::vector<std::string_view> values;
};

const std::vector<Memo>& memos(Language language) {
  static const std::vector<Memo> en = {
      {{"My name is {v}.", "Hello, I am {v}.", "Hi! You can call me {v}."},
       "Nice to meet you, {v}!",
       {"What is my name?", "Do you remember my name?", "Who am I?"},
       "Your name is {v}.",
       true,
       {}},
      {{"I live in {v}.", "My home is in {v}."},
       "{v} sounds like a nice place.",
       {"Where do I live?", "Do you remember where I live?"},
       "You live in {v}.",
       false,
       {"Paris", "London", "Rome", "Tokyo", "Cairo", "Berlin", "Madrid", "Beijing"}},
      {{"I like {v}.", "My favorite fruit is {v}."},
       "I see, you like {v}.",
       {"What do I like?", "Which fruit do I like?"},
       "You like {v}.",
       false,
       {"apples", "pears", "grapes", "melons", "bananas", "peaches", "cherries", "lemons"}},
      {{"I have a {v}.", "I got a new {v} today."},
       "A {v}! That is great.",
       {"What do I have?", "Do you remember what I have?"},
       "You have a {v}.",
       false,
       {"bike", "guitar", "camera", "piano", "watch", "robot", "kite", "violin"}},
      {{"My lucky number is {v}.", "Please remember the number {v}."},
       "OK, I will remember {v}.",
       {"What is my number?", "Which number did I tell you?"},
       "Your number is {v}.",
       false,
       {"3", "7", "8", "9", "11", "12", "15", "18"}},
  };
  static const std::vector<Memo> zh = {
      {{"我叫{v}。", "你好，我是{v}。", "你可以叫我{v}。"},
       "很高兴认识你，{v}！",
       {"我叫什么名字？", "你还记得我的名字吗？", "我是谁？"},
       "你叫{v}。",
       true,
       {}},
      {{"我住在{v}。", "我家在{v}。"},
       "{v}是个好地方。",
       {"我住在哪里？", "你还记得我住在哪儿吗？"},
       "你住在{v}。",
       false,
       {"北京", "上海", "广州", "成都", "西安", "杭州", "南京", "巴黎"}},
      {{"我喜欢吃{v}。", "我最爱的水果是{v}。"},
       "知道了，你喜欢吃{v}。",
       {"我喜欢吃什么？", "我爱吃哪种水果？"},
       "你喜欢吃{v}。",
       false,
       {"苹果", "梨", "葡萄", "西瓜", "香蕉", "桃子", "樱桃", "柠檬"}},
      {{"我有一个{v}。", "我今天买了一个新{v}。"},
       "{v}！真不错。",
       {"我有什么？", "你还记得我有什么吗？"},
       "你有一个{v}。",
       false,
       {"书包", "足球", "相机", "手表", "机器人", "风筝", "篮球", "闹钟"}},
      {{"我的幸运数字是{v}。", "请记住数字{v}。"},
       "好的，我记住了{v}。",
       {"我的数字是多少？", "我告诉你的数字是几？"},
       "你的数字是{v}。",
       false,
       {"3", "7", "8", "9", "11", "12", "15", "18"}},
  };
  return language == Language::en ? en : zh;
}

void say(std::vector<Message>& messages, std::string user, std::string assistant) {
  messages.push_back({"user", std::move(user)});
  messages.push_back({"assistant", std::move(assistant)});
}

// A user's name is never that of a person of the world.
std::string_view user_name(const Draw& draw) {
  const auto world_people = static_cast<std::size_t>(people_of_level(0));
  const std::size_t index = world_people + draw.random.below(24);
  return all_people()[index].name(draw.language);
}

}  // namespace

EvalItem memory_question(const Draw& draw) {
  return draw_in_split(draw.split, [&] {
    const auto& all = memos(draw.language);
    const std::size_t first = draw.random.below(all.size());
    const std::size_t second = (first + 1 + draw.random.below(all.size() - 1)) % all.size();
    EvalItem item;
    item.task = "memory";
    item.language = draw.language;
    std::string key = fmt::format("memory:{}", name(draw.language));
    if (chance(0.3, draw.random)) {
      const Exchange& hello = small_talk_lines(draw.language)[draw.random.below(4)];
      say(item.messages, std::string(hello.user), std::string(hello.assistant));
    }
    std::vector<std::string> values;
    const std::size_t told = chance(0.6, draw.random) ? 2 : 1;
    for (std::size_t i = 0; i < told; ++i) {
      const Memo& memo = all[i == 0 ? first : second];
      values.emplace_back(memo.is_name ? user_name(draw) : pick(memo.values, draw.random));
      key += fmt::format(":{}={}", i == 0 ? first : second, values.back());
      say(item.messages, fill(pick(memo.tell, draw.random), {{"v", values.back()}}),
          fill(memo.reply, {{"v", values.back()}}));
    }
    const std::size_t asked = draw.random.below(told);
    const Memo& memo = all[asked == 0 ? first : second];
    item.answer = fill(memo.answer, {{"v", values[asked]}});
    item.accepted = {values[asked]};
    say(item.messages, std::string(pick(memo.ask, draw.random)), item.answer);
    item.keys = {std::move(key)};
    return item;
  });
}

std::vector<Message> small_talk(const Draw& draw) {
  std::vector<Message> messages;
  const auto& lines = small_talk_lines(draw.language);
  for (int i = between(1, 3, draw.random); i > 0; --i) {
    const Exchange& exchange = pick(lines, draw.random);
    say(messages, std::string(exchange.user), std::string(exchange.assistant));
  }
  return messages;
}

std::string chat_document(const Draw& draw) {
  const bool memory = draw.split != Split::train || chance(0.8, draw.random);
  const auto messages = memory ? memory_question(draw).messages : small_talk(draw);
  std::string out;
  for (const Message& message : messages) {
    if (!out.empty()) out += '\n';
    const bool user = message.role == "user";
    out += draw.in(user ? "User: " : "Assistant: ", user ? "用户：" : "助手：");
    out += message.content;
  }
  return out;
}

}  // namespace stepstone::synth
