// What the themes of the curriculum share. A theme is one file: it makes questions with known
// answers (each an EvalItem whose messages end with the reply) and pre-training documents.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/synth.h"
#include "data/synth/text.h"
#include "data/synth/world.h"

namespace stepstone::synth {

struct Context {
  World world;
  int level;
};

// Everything one draw depends on. A question or document made with it holds only items of `split`.
struct Draw {
  const Context& context;
  Language language;
  Split split;
  Random& random;

  const World& world() const { return context.world; }
  int level() const { return context.level; }
  // The one of two texts that is in this draw's language.
  std::string_view in(std::string_view en, std::string_view zh) const {
    return language == Language::en ? en : zh;
  }
};

// Calls make() until every key of the item it returns lies in the split. Throws Error when a
// hundred thousand tries find none: the space of keys is too small for that split.
template <typename Make>
EvalItem draw_in_split(Split split, Make&& make) {
  for (int attempt = 0; attempt < 100000; ++attempt) {
    EvalItem item = make();
    bool inside = true;
    for (const std::string& key : item.keys) inside = inside && split_of(key) == split;
    if (inside) return item;
  }
  throw Error("synth: no item found in this split");
}

// A one-turn item.
EvalItem ask(std::string_view task, Language language, std::string key, std::string question,
             std::string answer, std::vector<std::string> accepted = {});

// A question and its answer as running text: "Question: …\nAnswer: …".
std::string as_text(const EvalItem& item, Random& random);

// facts.cpp
EvalItem fact_question(const Draw& draw);
std::string fact_document(const Draw& draw);
// The plain statement that a fact's answer consists of: "Anna lives in Oakton."
std::string fact_statement(const World& world, int person, Attribute attribute, Language language);

// arithmetic.cpp
EvalItem sum_question(const Draw& draw);      // addition and subtraction, unseen operands
EvalItem product_question(const Draw& draw);  // the multiplication table, unseen wording
EvalItem compare_question(const Draw& draw);
std::string arithmetic_document(const Draw& draw);

// lists.cpp
EvalItem copy_question(const Draw& draw);
EvalItem reverse_question(const Draw& draw);
EvalItem sort_question(const Draw& draw);
EvalItem count_question(const Draw& draw);
EvalItem longest_question(const Draw& draw);
EvalItem upper_question(const Draw& draw);
EvalItem pick_question(const Draw& draw);  // the first, second or last of a list
std::string list_document(const Draw& draw);

// stories.cpp
EvalItem story_question(const Draw& draw);
std::string story_document(const Draw& draw);

// chats.cpp
EvalItem memory_question(const Draw& draw);
std::vector<Message> small_talk(const Draw& draw);
std::string chat_document(const Draw& draw);

// code.cpp
EvalItem code_question(const Draw& draw);
std::string code_document(const Draw& draw);

}  // namespace stepstone::synth
