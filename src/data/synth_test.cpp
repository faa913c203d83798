#include "data/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "core/error.h"
#include "core/threads.h"
#include "data/synth/text.h"
#include "data/synth/world.h"

namespace stepstone {
namespace {

constexpr Language kLanguages[] = {Language::en, Language::zh};
constexpr Split kSplits[] = {Split::train, Split::val, Split::test};

std::string asked(const std::vector<Message>& messages) {
  std::string out;
  for (const Message& message : messages) {
    if (message.role == "user") out += message.content + "\n";
  }
  return out;
}

bool has_chinese(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0xE3) return true;
  }
  return false;
}

TEST(Synth, SameSeedSameTextWhateverTheThreads) {
  const Synth synth({});
  std::vector<std::string> one(200), two(200);
  const auto make = [&](std::vector<std::string>& out) {
    parallel_for(200, 7, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto index = static_cast<std::uint64_t>(i);
        out[static_cast<std::size_t>(i)] =
            synth.document(Split::train, index) + "|" + asked(synth.chat(Split::train, index));
      }
    });
  };
  const int threads = num_threads();
  set_num_threads(1);
  make(one);
  set_num_threads(3);
  make(two);
  set_num_threads(threads);
  EXPECT_EQ(one, two);
  SynthOptions other;
  other.seed = 2;
  EXPECT_NE(Synth(other).document(Split::train, 0), one[0].substr(0, one[0].find('|')));
}

TEST(Synth, TextIsCompleteAtEveryLevel) {
  for (int level = 0; level <= 2; ++level) {
    SynthOptions options;
    options.level = level;
    const Synth synth(options);
    for (const Split split : kSplits) {
      for (std::uint64_t i = 0; i < 300; ++i) {
        const std::string document = synth.document(split, i);
        ASSERT_GT(document.size(), 4u);
        ASSERT_EQ(document.find_first_of("{}"), std::string::npos) << document;
        const auto chat = synth.chat(split, i);
        ASSERT_GE(chat.size(), 2u);
        for (std::size_t m = 0; m < chat.size(); ++m) {
          ASSERT_EQ(chat[m].role, m % 2 == 0 ? "user" : "assistant");
          ASSERT_FALSE(chat[m].content.empty());
        }
      }
    }
  }
}

TEST(Synth, LanguageShareIsObeyed) {
  SynthOptions options;
  options.chinese = 0;
  const Synth english(options);
  options.chinese = 1;
  const Synth chinese(options);
  int english_documents_with_chinese = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    EXPECT_FALSE(has_chinese(asked(english.chat(Split::train, i))));
    EXPECT_TRUE(has_chinese(asked(chinese.chat(Split::train, i))));
    english_documents_with_chinese += has_chinese(english.document(Split::train, i));
  }
  // Only the parallel texts have both.
  EXPECT_LT(english_documents_with_chinese, 20);
}

TEST(Synth, SplitsShareNoKeyAndNoQuestion) {
  const Synth synth({});
  for (const std::string& task : synth_tasks()) {
    for (const Language language : kLanguages) {
      std::set<std::string> keys[3], questions[3];
      for (const Split split : kSplits) {
        const int s = static_cast<int>(split);
        const int n = split == Split::train ? 1500 : 150;
        for (const EvalItem& item : synth.questions(task, language, split, n, 5)) {
          keys[s].insert(item.keys.begin(), item.keys.end());
          questions[s].insert(asked(item.messages));
        }
        EXPECT_GE(questions[s].size(), 8u) << task << ' ' << name(split);
      }
      for (const auto& [a, b] : {std::pair{0, 1}, std::pair{0, 2}, std::pair{1, 2}}) {
        for (const std::string& key : keys[b]) EXPECT_FALSE(keys[a].contains(key)) << key;
        for (const std::string& q : questions[b]) EXPECT_FALSE(questions[a].contains(q)) << q;
      }
    }
  }
}

// Neither as a chat nor inside a pre-training document may a held-out question or equation turn up.
TEST(Synth, TrainingTextHoldsNoTestItem) {
  const Synth synth({});
  std::set<std::string> questions, equations;
  for (const std::string& task : synth_tasks()) {
    for (const Language language : kLanguages) {
      for (const EvalItem& item : synth.questions(task, language, Split::test, 150, 9)) {
        questions.insert(asked(item.messages));
      }
    }
  }
  for (int a = 0; a <= 20; ++a) {
    for (int b = 0; b <= 20; ++b) {
      if (split_of(fmt::format("add:{},{}", std::min(a, b), std::max(a, b))) != Split::train) {
        equations.insert(fmt::format("{} + {} =", a, b));
      }
      if (a >= b && split_of(fmt::format("sub:{},{}", a, b)) != Split::train) {
        equations.insert(fmt::format("{} - {} =", a, b));
      }
    }
  }
  ASSERT_GT(equations.size(), 40u);
  std::size_t documents_with_questions = 0, equations_seen = 0;
  for (std::uint64_t i = 0; i < 8000; ++i) {
    const auto chat = synth.chat(Split::train, i);
    EXPECT_FALSE(questions.contains(asked(chat))) << asked(chat);
    for (std::size_t m = 0; m < chat.size(); m += 2) {
      if (chat.size() == 2 || m == 0) {
        EXPECT_FALSE(questions.contains(chat[m].content + "\n")) << chat[m].content;
      }
    }
    std::istringstream lines(synth.document(Split::train, i));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream parts(line);
      for (std::string part; std::getline(parts, part, ',');) {
        const std::size_t begin = part.find_first_not_of(' ');
        const std::size_t equals = part.find('=');
        if (equals == std::string::npos) continue;
        ++equations_seen;
        EXPECT_FALSE(equations.contains(part.substr(begin, equals + 1 - begin))) << line;
      }
      for (const std::string_view mark : {"Question: ", "Q: ", "问题：", "问："}) {
        if (!line.starts_with(mark)) continue;
        ++documents_with_questions;
        EXPECT_FALSE(questions.contains(line.substr(mark.size()) + "\n")) << line;
      }
    }
  }
  EXPECT_GT(documents_with_questions, 500u);
  EXPECT_GT(equations_seen, 3000u);
}

TEST(Synth, AnswersAreRight) {
  const Synth synth({});
  for (const EvalItem& item : synth.questions("arithmetic", Language::en, Split::train, 200, 1)) {
    int a = 0, b = 0, c = 0;
    char sign = 0;
    const std::size_t end = item.answer.find("; ");
    const char* equation = item.answer.c_str() + (end == std::string::npos ? 0 : end + 2);
    ASSERT_EQ(std::sscanf(equation, "%d %c %d = %d", &a, &sign, &b, &c), 4) << item.answer;
    EXPECT_EQ(c, sign == '+' ? a + b : a - b);
    if (end == std::string::npos) {
      EXPECT_TRUE(a == 0 || b == 0) << item.answer;
      continue;
    }
    // The working ends with the result and how far it was counted.
    const int steps = sign == '+' ? std::min(a, b) : b;
    EXPECT_THAT(item.answer.substr(0, end), testing::EndsWith(fmt::format(" {}:{}", c, steps)));
  }
  for (const EvalItem& item : synth.questions("sort", Language::en, Split::train, 100, 1)) {
    std::istringstream numbers(item.answer);
    int last = -1;
    for (int n; numbers >> n; numbers.ignore(1)) {
      EXPECT_GT(n, last);
      last = n;
    }
  }
  const synth::World world(1, 0);
  for (const EvalItem& item : synth.questions("facts", Language::en, Split::test, 50, 1)) {
    int matches = 0;
    for (int p = 0; p < world.people(); ++p) {
      for (int a = 0; a < world.attributes(); ++a) {
        const auto attribute = static_cast<synth::Attribute>(a);
        const std::string text = world.text(p, attribute, Language::en);
        matches += item.answer.find(world.person(p).en) != std::string::npos &&
                   item.answer.find(text) != std::string::npos;
      }
    }
    EXPECT_GE(matches, 1) << item.answer;
  }
}

TEST(Synth, ScorerAcceptsWordingsAndNothingElse) {
  EvalItem item;
  item.answer = "7 + 5 = 12.";
  item.accepted = {"12", "The answer is 12"};
  EXPECT_TRUE(is_correct(item, " 7 + 5 = 12 \n"));
  EXPECT_TRUE(is_correct(item, "7+5=12"));
  EXPECT_TRUE(is_correct(item, "12。"));
  EXPECT_TRUE(is_correct(item, "the answer is 12"));
  EXPECT_FALSE(is_correct(item, "112"));
  EXPECT_FALSE(is_correct(item, "1 2"));
  EXPECT_FALSE(is_correct(item, "12 13"));
  EXPECT_FALSE(is_correct(item, ""));
  EXPECT_FALSE(is_correct(item, "..."));
  EXPECT_FALSE(is_correct(item, "7 8:1 9:2; 7 + 5 = 12"));
  item.shows_working = true;
  EXPECT_TRUE(is_correct(item, "7 8:1 9:2; 7 + 5 = 12"));
  EXPECT_FALSE(is_correct(item, "7 + 5 = 12; 7 + 5 = 13"));
  EXPECT_FALSE(is_correct(item, "12;"));
  EvalItem list;
  list.answer = "猫、狗";
  EXPECT_TRUE(is_correct(list, "猫，狗"));
  EXPECT_FALSE(is_correct(list, "狗、猫"));
  EvalItem upper;
  upper.answer = "CAT DOG";
  upper.match_case = true;
  EXPECT_FALSE(is_correct(upper, "cat dog"));
  EXPECT_TRUE(is_correct(upper, "CAT  DOG."));
}

TEST(Synth, EveryCanonicalAnswerScoresItself) {
  for (const std::string& task : synth_tasks()) {
    for (const Language language : kLanguages) {
      const auto items = synth_eval(task, language, 40, 3);
      EXPECT_GE(items.size(), 8u) << task << ' ' << name(language);
      for (const EvalItem& item : items) {
        EXPECT_EQ(item.messages.back().role, "user");
        EXPECT_TRUE(is_correct(item, item.answer)) << item.answer;
        for (const std::string& accepted : item.accepted) {
          EXPECT_TRUE(is_correct(item, accepted)) << accepted;
        }
      }
    }
  }
}

TEST(Synth, RefusesImpossibleOptions) {
  SynthOptions options;
  options.level = 3;
  EXPECT_THROW(Synth{options}, UsageError);
  options = {};
  options.document_weights.fill(0);
  EXPECT_THROW(Synth{options}, UsageError);
  options = {};
  options.chinese = 1.5;
  EXPECT_THROW(Synth{options}, UsageError);
  EXPECT_THROW(synth_eval("no such task", Language::en, 1, 1), UsageError);
  EXPECT_THROW(parse_language("fr"), UsageError);
  EXPECT_EQ(parse_split("val"), Split::val);
  EXPECT_EQ(parse_synth_kind("code"), SynthKind::code);
}

TEST(SynthText, Fill) {
  EXPECT_EQ(synth::fill("{a} and {b}{a}", {{"a", "x"}, {"b", "y"}}), "x and yx");
  EXPECT_THROW(synth::fill("{c}", {{"a", "x"}}), Error);
  EXPECT_THROW(synth::fill("{a", {{"a", "x"}}), Error);
}

}  // namespace
}  // namespace stepstone
