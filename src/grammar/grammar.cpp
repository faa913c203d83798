#include "grammar/grammar.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace stepstone {
namespace {

using Kind = Expression::Kind;
using ByteSet = Grammar::ByteSet;
using Element = Grammar::Element;

ByteSet bytes_between(unsigned low, unsigned high) {
  ByteSet set;
  for (unsigned b = low; b <= high; ++b) set.set(b);
  return set;
}

// The UTF-8 encodings of the code points low..high (of one encoded length), as sequences of byte
// ranges. Splits where a trailing byte does not run over its whole range.
void utf8_sequences(char32_t low, char32_t high, int length, std::vector<ByteSet>& prefix,
                    std::vector<std::vector<ByteSet>>& out) {
  static constexpr unsigned kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  const int shift = 6 * (length - 1);
  const bool first = prefix.empty();
  const unsigned mark = first ? kLead[length] : 0x80;
  if (length == 1) {
    prefix.push_back(
        bytes_between(mark | static_cast<unsigned>(low), mark | static_cast<unsigned>(high)));
    out.push_back(prefix);
    prefix.pop_back();
    return;
  }
  const char32_t rest = (char32_t{1} << shift) - 1;
  for (char32_t lead = low >> shift; lead <= high >> shift;) {
    const char32_t from = std::max<char32_t>(low, lead << shift);
    char32_t last = lead, to = std::min<char32_t>(high, (lead << shift) | rest);
    // As many leads as have all their trailing bytes go together.
    if ((from & rest) == 0 && (to & rest) == rest) {
      while (last + 1 <= high >> shift && ((((last + 1) << shift) | rest) <= high)) ++last;
      to = (last << shift) | rest;
    }
    prefix.push_back(
        bytes_between(mark | static_cast<unsigned>(lead), mark | static_cast<unsigned>(last)));
    utf8_sequences(from & rest, last == lead ? to & rest : rest, length - 1, prefix, out);
    prefix.pop_back();
    lead = last + 1;
  }
}

}  // namespace

class GrammarCompiler {
 public:
  GrammarCompiler(const Rules& rules, Grammar& out) : rules_(rules), out_(out) {}

  void run() {
    out_.alternatives_.resize(rules_.rules.size());
    out_.root_ = rules_.root;
    for (std::size_t i = 0; i < rules_.rules.size(); ++i) define(i, rules_.rules[i].body);
    refuse_left_recursion();
  }

 private:
  using Sequence = std::vector<Element>;

  std::size_t new_rule() {
    out_.alternatives_.emplace_back();
    return out_.alternatives_.size() - 1;
  }

  void add_alternative(std::size_t rule, const Sequence& sequence) {
    require<UsageError>(out_.elements_.size() + sequence.size() < Grammar::kMaxElements,
                        "grammar: larger than {} elements", Grammar::kMaxElements);
    out_.alternatives_[rule].push_back(static_cast<std::int32_t>(out_.elements_.size()));
    out_.elements_.insert(out_.elements_.end(), sequence.begin(), sequence.end());
    out_.elements_.push_back({Element::Kind::end, 0});
  }

  void define(std::size_t rule, const Expression& body) {
    if (body.kind == Kind::choice) {
      for (const Expression& part : body.parts) add_alternative(rule, sequence_of(part));
    } else {
      add_alternative(rule, sequence_of(body));
    }
  }

  Sequence sequence_of(const Expression& e) {
    Sequence out;
    append(e, out);
    return out;
  }

  static Element to_rule(std::size_t rule) {
    return {Element::Kind::rule, static_cast<std::int32_t>(rule)};
  }

  Element to_bytes(const ByteSet& set) {
    const auto [it, fresh] =
        set_ids_.try_emplace(set.to_string(), static_cast<std::int32_t>(out_.sets_.size()));
    if (fresh) out_.sets_.push_back(set);
    return {Element::Kind::bytes, it->second};
  }

  void append(const Expression& e, Sequence& out) {
    switch (e.kind) {
      case Kind::literal:
        for (const char c : e.text) {
          const auto b = static_cast<unsigned char>(c);
          out.push_back(to_bytes(bytes_between(b, b)));
        }
        break;
      case Kind::characters:
        append_characters(e.ranges, out);
        break;
      case Kind::rule:
        out.push_back(to_rule(static_cast<std::size_t>(e.rule)));
        break;
      case Kind::sequence:
        for (const Expression& part : e.parts) append(part, out);
        break;
      case Kind::choice: {
        const std::size_t rule = new_rule();
        define(rule, e);
        out.push_back(to_rule(rule));
        break;
      }
      case Kind::repeat:
        append_repeat(e, out);
        break;
    }
  }

  void append_characters(const std::vector<Expression::Range>& ranges, Sequence& out) {
    ByteSet ascii;
    std::vector<std::vector<ByteSet>> sequences;
    static constexpr char32_t kFirst[] = {0, 0x80, 0x800, 0x10000, 0x110000};
    for (const auto& [low, high] : ranges) {
      for (int length = 1; length <= 4; ++length) {
        const char32_t from = std::max(low, kFirst[length - 1]);
        const char32_t to = std::min<char32_t>(high, kFirst[length] - 1);
        if (from > to) continue;
        std::vector<ByteSet> prefix;
        if (length == 1) {
          ascii |= bytes_between(static_cast<unsigned>(from), static_cast<unsigned>(to));
        } else {
          utf8_sequences(from, to, length, prefix, sequences);
        }
      }
    }
    require<UsageError>(ascii.any() || !sequences.empty(), "grammar: a class without characters");
    if (sequences.empty()) {
      out.push_back(to_bytes(ascii));
      return;
    }
    const auto [known, fresh] = class_rules_.try_emplace(ranges, 0);
    if (fresh) {
      known->second = new_rule();
      if (ascii.any()) add_alternative(known->second, {to_bytes(ascii)});
      for (const auto& sequence : sequences) {
        Sequence bytes;
        for (const ByteSet& set : sequence) bytes.push_back(to_bytes(set));
        add_alternative(known->second, bytes);
      }
    }
    out.push_back(to_rule(known->second));
  }

  // x{m,n} is m times x, then n - m nested options; without n, a rule that ends with itself.
  void append_repeat(const Expression& e, Sequence& out) {
    require<UsageError>(e.min >= 0 && e.min <= Grammar::kMaxRepeat && e.max <= Grammar::kMaxRepeat,
                        "grammar: a repetition of more than {}", Grammar::kMaxRepeat);
    require<UsageError>(e.max == Expression::kUnbounded || e.max >= e.min,
                        "grammar: a repetition of {} to {}", e.min, e.max);
    const Sequence part = sequence_of(e.parts.at(0));
    for (std::int64_t i = 0; i < e.min; ++i) {
      out.insert(out.end(), part.begin(), part.end());
      require<UsageError>(out.size() < Grammar::kMaxElements, "grammar: larger than {} elements",
                          Grammar::kMaxElements);
    }
    if (e.max == e.min) return;
    const bool endless = e.max == Expression::kUnbounded;
    std::size_t rest = 0;
    for (std::int64_t i = 0; i < (endless ? 1 : e.max - e.min); ++i) {
      const std::size_t rule = new_rule();
      Sequence more = part;
      if (endless) {
        more.push_back(to_rule(rule));
      } else if (i > 0) {
        more.push_back(to_rule(rest));
      }
      add_alternative(rule, more);
      add_alternative(rule, {});
      rest = rule;
    }
    out.push_back(to_rule(rest));
  }

  std::string name_of(std::size_t rule) const {
    return rule < rules_.rules.size() ? rules_.rules[rule].name : "(a repetition)";
  }

  // Rules that can derive the empty text, to a fixed point.
  std::vector<bool> nullable_rules() const {
    std::vector<bool> nullable(out_.alternatives_.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t r = 0; r < nullable.size(); ++r) {
        if (nullable[r]) continue;
        for (const std::int32_t begin : out_.alternatives_[r]) {
          const Element* e = &out_.elements_[static_cast<std::size_t>(begin)];
          while (e->kind == Element::Kind::rule && nullable[static_cast<std::size_t>(e->index)])
            ++e;
          if (e->kind == Element::Kind::end) {
            nullable[r] = changed = true;
            break;
          }
        }
      }
    }
    return nullable;
  }

  // Depth-first over "r may begin with s", without recursion.
  void refuse_left_recursion() const {
    const std::vector<bool> nullable = nullable_rules();
    std::vector<std::vector<std::size_t>> begins(nullable.size());
    for (std::size_t r = 0; r < nullable.size(); ++r) {
      for (const std::int32_t begin : out_.alternatives_[r]) {
        const Element* e = &out_.elements_[static_cast<std::size_t>(begin)];
        for (; e->kind == Element::Kind::rule; ++e) {
          begins[r].push_back(static_cast<std::size_t>(e->index));
          if (!nullable[static_cast<std::size_t>(e->index)]) break;
        }
      }
    }
    enum : char { fresh, open, done };
    std::vector<char> state(begins.size(), fresh);
    std::vector<std::pair<std::size_t, std::size_t>> path;
    for (std::size_t start = 0; start < begins.size(); ++start) {
      if (state[start] != fresh) continue;
      state[start] = open;
      path.emplace_back(start, 0);
      while (!path.empty()) {
        auto& [rule, next] = path.back();
        if (next == begins[rule].size()) {
          state[rule] = done;
          path.pop_back();
          continue;
        }
        const std::size_t to = begins[rule][next++];
        if (state[to] == open) throw LeftRecursion(name_of(to));
        if (state[to] == fresh) {
          state[to] = open;
          path.emplace_back(to, 0);
        }
      }
    }
  }

  const Rules& rules_;
  Grammar& out_;
  std::map<std::string, std::int32_t> set_ids_;
  std::map<std::vector<Expression::Range>, std::size_t> class_rules_;
};

LeftRecursion::LeftRecursion(std::string rule)
    : UsageError(
          fmt::format("grammar: rule \"{}\" can begin with itself (left recursion, or an endless "
                      "repetition of something that may be empty)",
                      rule)),
      rule_(std::move(rule)) {}

Grammar::Grammar(const Rules& rules) { GrammarCompiler(rules, *this).run(); }

}  // namespace stepstone
