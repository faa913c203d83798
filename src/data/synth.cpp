#include "data/synth.h"

#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <span>

#include "data/synth/theme.h"

namespace stepstone {
namespace synth {

EvalItem ask(std::string_view task, Language language, std::string key, std::string question,
             std::string answer, std::vector<std::string> accepted) {
  EvalItem item;
  item.task = task;
  item.language = language;
  item.messages = {{"user", std::move(question)}, {"assistant", answer}};
  item.answer = std::move(answer);
  item.accepted = std::move(accepted);
  item.keys = {std::move(key)};
  return item;
}

std::string as_text(const EvalItem& item, Random& random) {
  static constexpr std::array<std::array<std::string_view, 2>, 3> kEnglish = {
      {{"Question: ", "\nAnswer: "}, {"Q: ", "\nA: "}, {"> ", "\n"}}};
  static constexpr std::array<std::array<std::string_view, 2>, 3> kChinese = {
      {{"问题：", "\n回答："}, {"问：", "\n答："}, {"> ", "\n"}}};
  // In the last layout an answer starts a line, as a chat's reply does: to a tokenizer the first
  // word of a line is another word than the same one after a space.
  const auto& marks = pick(item.language == Language::en ? kEnglish : kChinese, random);
  std::string out;
  for (const Message& message : item.messages) {
    out += marks[message.role == "user" ? 0 : 1];
    out += message.content;
  }
  return out;
}

}  // namespace synth

namespace {

using synth::Draw;

struct Task {
  std::string_view name;
  SynthKind kind;
  int weight;  // in chats, among the tasks of its kind: what is harder to learn comes oftener
  EvalItem (*make)(const Draw&);
};

constexpr Task kTasks[] = {
    {"facts", SynthKind::facts, 1, synth::fact_question},
    {"arithmetic", SynthKind::arithmetic, 2, synth::sum_question},
    {"times", SynthKind::arithmetic, 1, synth::product_question},
    {"compare", SynthKind::arithmetic, 1, synth::compare_question},
    {"copy", SynthKind::lists, 4, synth::copy_question},
    {"reverse", SynthKind::lists, 3, synth::reverse_question},
    {"sort", SynthKind::lists, 2, synth::sort_question},
    {"count", SynthKind::lists, 1, synth::count_question},
    {"longest", SynthKind::lists, 1, synth::longest_question},
    {"upper", SynthKind::lists, 1, synth::upper_question},
    {"pick", SynthKind::lists, 4, synth::pick_question},
    {"story", SynthKind::story, 1, synth::story_question},
    {"memory", SynthKind::chat, 1, synth::memory_question},
    {"code", SynthKind::code, 1, synth::code_question},
};

const Task& find_task(std::string_view name) {
  for (const Task& task : kTasks) {
    if (task.name == name) return task;
  }
  throw UsageError(fmt::format("no eval task is named '{}' (there are: {})", name,
                               synth::join(synth_tasks(), ", ")));
}

template <typename T, std::size_t n>
T parse(std::string_view text, std::string_view what,
        const std::array<std::string_view, n>& names) {
  for (std::size_t i = 0; i < n; ++i) {
    if (names[i] == text) return static_cast<T>(i);
  }
  throw UsageError(
      fmt::format("'{}' is no {} (choose from: {})", text, what, fmt::join(names, ", ")));
}

constexpr std::array<std::string_view, 2> kLanguageNames = {"en", "zh"};
constexpr std::array<std::string_view, 3> kSplitNames = {"train", "val", "test"};
constexpr std::array<std::string_view, kSynthKinds> kKindNames = {"story", "facts", "arithmetic",
                                                                  "lists", "chat",  "code"};

SynthKind any_kind(const std::array<double, kSynthKinds>& weights, Random& random) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double left = random.uniform() * total;
  int last = 0;
  for (int i = 0; i < kSynthKinds; ++i) {
    const double weight = weights[static_cast<std::size_t>(i)];
    if (weight <= 0) continue;
    last = i;
    left -= weight;
    if (left < 0) break;
  }
  return static_cast<SynthKind>(last);
}

void check_weights(const std::array<double, kSynthKinds>& weights) {
  double total = 0;
  for (const double weight : weights) {
    require<UsageError>(weight >= 0 && weight < 1e9, "synth: a weight must be between 0 and 1e9");
    total += weight;
  }
  require<UsageError>(total > 0, "synth: at least one weight must be above zero");
}

// Streams of random numbers for different purposes never meet.
std::uint64_t stream(std::string_view purpose, Split split, std::uint64_t index) {
  const std::uint64_t salt = XXH3_64bits(purpose.data(), purpose.size());
  const std::uint64_t numbers[] = {salt, static_cast<std::uint64_t>(split), index};
  return XXH3_64bits(numbers, sizeof(numbers));
}

}  // namespace

std::string_view name(Language language) {
  return kLanguageNames[static_cast<std::size_t>(language)];
}
std::string_view name(Split split) { return kSplitNames[static_cast<std::size_t>(split)]; }
std::string_view name(SynthKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }
Language parse_language(std::string_view text) {
  return parse<Language>(text, "language", kLanguageNames);
}
Split parse_split(std::string_view text) { return parse<Split>(text, "split", kSplitNames); }
SynthKind parse_synth_kind(std::string_view text) {
  return parse<SynthKind>(text, "kind of synthetic text", kKindNames);
}

Split split_of(std::string_view key) {
  const std::uint64_t bucket = XXH3_64bits_withSeed(key.data(), key.size(), 20) % 20;
  return bucket == 0 ? Split::test : bucket == 1 ? Split::val : Split::train;
}

Synth::Synth(const SynthOptions& options) : options_(options) {
  require<UsageError>(options.level >= 0 && options.level <= 2, "synth: level must be 0, 1 or 2");
  require<UsageError>(options.chinese >= 0 && options.chinese <= 1,
                      "synth: the share of Chinese must be between 0 and 1");
  check_weights(options.document_weights);
  check_weights(options.chat_weights);
  context_ = std::make_unique<const synth::Context>(
      synth::Context{synth::World(options.world_seed, options.level), options.level});
}

Synth::~Synth() = default;
Synth::Synth(Synth&&) noexcept = default;

std::string Synth::document(Split split, std::uint64_t index) const {
  Random random(options_.seed, stream("document", split, index));
  const auto language = synth::chance(options_.chinese, random) ? Language::zh : Language::en;
  const Draw draw{*context_, language, split, random};
  switch (any_kind(options_.document_weights, random)) {
    case SynthKind::story:
      return synth::story_document(draw);
    case SynthKind::facts:
      return synth::fact_document(draw);
    case SynthKind::arithmetic:
      return synth::arithmetic_document(draw);
    case SynthKind::lists:
      return synth::list_document(draw);
    case SynthKind::chat:
      return synth::chat_document(draw);
    case SynthKind::code:
      return synth::code_document(draw);
  }
  throw Error("no such kind");
}

std::vector<Message> Synth::chat(Split split, std::uint64_t index) const {
  Random random(options_.seed, stream("chat", split, index));
  const auto language = synth::chance(options_.chinese, random) ? Language::zh : Language::en;
  const Draw draw{*context_, language, split, random};
  const SynthKind kind = any_kind(options_.chat_weights, random);
  // Small talk is a fixed set of lines to learn by heart: there is nothing to hold out.
  if (kind == SynthKind::chat && split == Split::train && synth::chance(0.35, random)) {
    return synth::small_talk(draw);
  }
  std::vector<const Task*> choices;
  for (const Task& task : kTasks) {
    if (task.kind == kind) {
      choices.insert(choices.end(), static_cast<std::size_t>(task.weight), &task);
    }
  }
  std::vector<Message> messages = synth::pick(choices, random)->make(draw).messages;
  // Some chats go on with another question.
  if (kind != SynthKind::chat && synth::chance(0.25, random)) {
    for (Message& message : synth::pick(kTasks, random).make(draw).messages) {
      messages.push_back(std::move(message));
    }
  }
  return messages;
}

std::vector<EvalItem> Synth::questions(std::string_view task_name, Language language, Split split,
                                       int n, std::uint64_t seed) const {
  const Task& task = find_task(task_name);
  Random random(seed, stream(task_name, split, static_cast<std::uint64_t>(language)));
  const Draw draw{*context_, language, split, random};
  std::vector<EvalItem> items;
  std::set<std::string> seen;
  for (int attempt = 0; attempt < 10 * n && static_cast<int>(items.size()) < n; ++attempt) {
    EvalItem item = task.make(draw);
    item.messages.pop_back();
    std::string asked;
    for (const Message& message : item.messages) asked += message.content + '\n';
    if (seen.insert(std::move(asked)).second) items.push_back(std::move(item));
  }
  return items;
}

const std::vector<std::string>& synth_tasks() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Task& task : kTasks) out.emplace_back(task.name);
    return out;
  }();
  return names;
}

std::vector<EvalItem> synth_eval(std::string_view task, Language language, int n,
                                 std::uint64_t seed, int level) {
  SynthOptions options;
  options.level = level;
  return Synth(options).questions(task, language, Split::test, n, seed);
}

}  // namespace stepstone
