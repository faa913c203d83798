// `data synth`: a bilingual (English and Chinese) small-world curriculum, written by rules.
//
// Everything is a pure function of (options, split, index): the n-th document or chat does not
// depend on threads, order or what was made before it.
//
// Held-out splits. Every question has semantic keys (the operands of a sum, the list to sort, the
// pair of a fact and the way it is asked for, …). A hash of the key alone decides the split, so
// train, val and test share no key and no question, in any phrasing or order of operands, in chats
// and in pre-training documents. The facts of the world themselves are told in training
// documents and asked for in training in other words: what is held out is the combination.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_template.h"

namespace stepstone {

enum class Language : std::uint8_t { en, zh };
enum class Split : std::uint8_t { train, val, test };

// What a document or chat is about. Mixture weights are given per kind.
enum class SynthKind : std::uint8_t { story, facts, arithmetic, lists, chat, code };
inline constexpr int kSynthKinds = 6;

std::string_view name(Language language);
std::string_view name(Split split);
std::string_view name(SynthKind kind);
// The inverse of name(); throws UsageError that lists the choices.
Language parse_language(std::string_view text);
Split parse_split(std::string_view text);
SynthKind parse_synth_kind(std::string_view text);

struct SynthOptions {
  std::uint64_t seed = 1;  // which documents
  // Which world: who lives where and so on. Models trained and tested on different world seeds
  // know different facts.
  std::uint64_t world_seed = 1;
  // 0: what a model of a few million weights learns in minutes (24 people × 6 facts, sums up
  // to 20, lists of 3–4). 1 and 2: more people and facts, larger numbers, longer lists.
  int level = 0;
  double chinese = 0.5;  // share of Chinese items
  // Relative weights in SynthKind's order; zero leaves a kind out.
  std::array<double, kSynthKinds> document_weights = {4, 5, 5, 4, 2, 1};
  std::array<double, kSynthKinds> chat_weights = {2.5, 2, 2.5, 7, 2, 2};
};

// One exchange with a known answer. `messages` ends with the user's question when it comes from
// synth_eval, and with the assistant's reply when it comes from Synth::chat.
struct EvalItem {
  std::string task;
  Language language = Language::en;
  std::vector<Message> messages;
  std::string answer;                 // canonical: what training data answers
  std::vector<std::string> accepted;  // other wordings that count as right
  bool match_case = false;
  bool shows_working = false;     // only what follows the last ';' of a reply is the answer
  std::vector<std::string> keys;  // semantic keys; they decide the split
};

namespace synth {
struct Context;
}

class Synth {
 public:
  explicit Synth(const SynthOptions& options);
  ~Synth();
  Synth(Synth&&) noexcept;

  const SynthOptions& options() const { return options_; }

  // The index-th pre-training document of a split: plain text, no trailing newline.
  std::string document(Split split, std::uint64_t index) const;
  // The index-th chat of a split: user and assistant in turn, ending with the assistant.
  std::vector<Message> chat(Split split, std::uint64_t index) const;

  // Up to n distinct questions of one eval task in one language (fewer where the split holds
  // fewer). Throws UsageError for an unknown task.
  std::vector<EvalItem> questions(std::string_view task, Language language, Split split, int n,
                                  std::uint64_t seed) const;

 private:
  SynthOptions options_;
  std::unique_ptr<const synth::Context> context_;
};

// The names of the eval tasks, in the order in which reports show them.
const std::vector<std::string>& synth_tasks();

// Held-out (test) questions of the default world at level `level`.
std::vector<EvalItem> synth_eval(std::string_view task, Language language, int n,
                                 std::uint64_t seed, int level = 0);

// Exact match of the reply (of what follows its last ';', if the item shows working) with the
// answer or an accepted wording after normalising: surrounding space, repeated space, final
// punctuation, full-width forms and (unless match_case) ASCII case count for nothing; neither does
// space beside punctuation or Chinese characters.
bool is_correct(const EvalItem& item, std::string_view reply);

// The split that a semantic key belongs to: 90 % train, 5 % val, 5 % test.
Split split_of(std::string_view key);

}  // namespace stepstone
