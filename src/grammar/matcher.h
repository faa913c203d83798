// Which tokens may come next in a text that follows a grammar.
//
// The states of the grammar's pushdown automaton are found as they are met, and remembered with
// their transitions by byte and with their sets of tokens. Not for use from several threads at
// once; the grammar and the vocabulary may be shared.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

// The tokens of a vocabulary as a tree over their bytes. Control tokens and empty ones are left
// out: no grammar allows them.
class TokenTree {
 public:
  explicit TokenTree(const Tokenizer& tokenizer);

  struct Node {
    std::uint8_t byte = 0;
    std::int32_t skip = 0;         // the node after this one's subtree
    std::int32_t first_token = 0;  // tokens that end here: tokens()[first_token .. last_token)
    std::int32_t last_token = 0;
  };
  // In depth-first order; node 0 is the root, whose children follow.
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  std::int32_t vocab_size() const { return vocab_size_; }
  std::string_view bytes(std::int32_t token) const { return tokenizer_.token_bytes(token); }
  bool is_control(std::int32_t token) const { return tokenizer_.is_special(token); }

 private:
  Tokenizer tokenizer_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> tokens_;
  std::int32_t vocab_size_ = 0;
};

// How long a grammar may take to follow, in steps of 20 to 50 ns: counted, so that no busy machine
// ends a text that an idle one would not.
struct GrammarBudget {
  std::int64_t token = 4'000'000;   // to find what may come, and to take it
  std::int64_t text = 400'000'000;  // of all tokens
};

class GrammarMatcher {
 public:
  GrammarMatcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tree,
                 const GrammarBudget& budget = {});

  // All of these throw UsageError where the budget is spent.
  //
  // Ids of the tokens that may come next, ascending. Empty when the text is complete and nothing
  // can follow.
  std::span<const std::int32_t> allowed();
  // The text may end here.
  bool may_end() const;
  // Takes a token; false, and nothing changed, when the grammar does not allow it.
  bool accept(std::int32_t token);
  // The same for bytes.
  bool accept_bytes(std::string_view bytes);
  // Sets to -inf the logits of every token that may not come next; `stop_tokens` may come where the
  // text may end. False, and nothing changed, when nothing may come: the text is complete.
  bool mask(std::span<float> logits, std::span<const std::int32_t> stop_tokens);
  // Back to the beginning.
  void reset();
  // Of the budget, since the beginning.
  std::int64_t spent() const { return spent_; }

 private:
  using StackId = std::int32_t;
  using StateId = std::int32_t;
  static constexpr StackId kEmptyStack = -1;  // all of the root was read
  static constexpr StateId kUnknown = -2, kDead = -1;

  // Elements still to be read: the one at `element`, then those of `rest`.
  struct Stack {
    std::int32_t element;
    StackId rest;
  };
  struct State {
    std::vector<StackId> stacks;  // ascending; their elements read bytes
    bool accepts = false;
    std::array<StateId, 256> next;
    bool has_tokens = false;
    std::vector<std::int32_t> tokens;
  };

  StackId push(std::int32_t element, StackId rest);
  void expand(std::int32_t element, StackId rest);
  StateId finish_state();
  StateId step(StateId state, std::uint8_t byte);
  void forget_all_but_current();
  void spend(std::size_t work);

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTree> tree_;
  GrammarBudget budget_;
  std::int64_t spent_ = 0, spent_before_ = 0;  // before_: the last token was taken
  std::vector<Stack> stacks_;
  std::unordered_map<std::uint64_t, StackId> stack_ids_;
  std::vector<std::unique_ptr<State>> states_;
  std::size_t kept_tokens_ = 0;  // of all states
  std::unordered_map<std::string, StateId> state_ids_;
  StateId current_ = 0;

  // Of the state being made.
  std::vector<StackId> open_;
  bool open_accepts_ = false;
};

}  // namespace stepstone
