// A context-free grammar over bytes: which texts a model may write.
//
// Compiled from rules over characters: a class of characters becomes alternatives of UTF-8 byte
// sequences, so a token that ends inside a character is judged like any other.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "grammar/expression.h"

namespace stepstone {

// A rule that could be expanded for ever: what it is called, for a message in the notation's words.
class LeftRecursion : public UsageError {
 public:
  explicit LeftRecursion(std::string rule);
  const std::string& rule() const { return rule_; }

 private:
  std::string rule_;
};

class Grammar {
 public:
  // Limits of a compiled grammar; beyond them UsageError.
  static constexpr std::size_t kMaxElements = 200'000;
  static constexpr std::int64_t kMaxRepeat = 10'000;

  // Throws LeftRecursion for a rule that refers to itself without reading anything first,
  // UsageError for what is too large.
  explicit Grammar(const Rules& rules);

  // llama.cpp's notation (its grammars/README.md): name ::= "literal" [a-z] (group) * + ? {m,n} |
  // with the rule `root`. Throws UsageError naming line and column.
  static Grammar from_gbnf(std::string_view text);
  // JSON texts that the schema allows (json_schema.h says which keywords are known).
  static Grammar from_json_schema(std::string_view schema);
  // Texts that match the whole regular expression (regex.h says which constructs are known).
  static Grammar from_regex(std::string_view pattern);

  // One step of an alternative.
  struct Element {
    enum class Kind : std::uint8_t { bytes, rule, end };
    Kind kind;
    std::int32_t index;  // bytes: in sets(); rule: in alternatives()
  };
  using ByteSet = std::bitset<256>;

  const std::vector<Element>& elements() const { return elements_; }
  const std::vector<ByteSet>& sets() const { return sets_; }
  // Of each rule: where its alternatives begin in elements().
  const std::vector<std::vector<std::int32_t>>& alternatives() const { return alternatives_; }
  std::int32_t root() const { return root_; }

 private:
  friend class GrammarCompiler;

  std::vector<Element> elements_;
  std::vector<ByteSet> sets_;
  std::vector<std::vector<std::int32_t>> alternatives_;
  std::int32_t root_ = 0;
};

}  // namespace stepstone
