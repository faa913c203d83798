#include "grammar/matcher.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"

namespace stepstone {
namespace {

// Beyond these the grammar is too ambiguous to follow, or the text has met so many states that
// their memory counts (a state is about 1 KiB, a token in it 4 bytes).
constexpr std::size_t kMaxStacksOfState = 10'000;
constexpr std::size_t kMaxWork = 200'000;
constexpr std::size_t kMaxStates = 20'000, kMaxKeptTokens = 16'000'000;

}  // namespace

TokenTree::TokenTree(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), vocab_size_(tokenizer.vocab_size()) {
  for (std::int32_t id = 0; id < vocab_size_; ++id) {
    if (!is_control(id) && !bytes(id).empty()) tokens_.push_back(id);
  }
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [this](std::int32_t a, std::int32_t b) { return bytes(a) < bytes(b); });
  nodes_.emplace_back();
  std::vector<std::int32_t> path = {0};  // nodes from the root to the last token
  const auto close = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[static_cast<std::size_t>(path.back())].skip = static_cast<std::int32_t>(nodes_.size());
    }
  };
  std::string_view last;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = bytes(tokens_[i]);
    const auto shared = static_cast<std::size_t>(
        std::mismatch(last.begin(), last.end(), text.begin(), text.end()).first - last.begin());
    close(1 + shared);
    for (std::size_t k = shared; k < text.size(); ++k) {
      path.push_back(static_cast<std::int32_t>(nodes_.size()));
      const auto here = static_cast<std::int32_t>(i);
      nodes_.push_back({static_cast<std::uint8_t>(text[k]), 0, here, here});
    }
    nodes_[static_cast<std::size_t>(path.back())].last_token = static_cast<std::int32_t>(i + 1);
    last = text;
  }
  close(0);
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar,
                               std::shared_ptr<const TokenTree> tree, const GrammarBudget& budget)
    : grammar_(std::move(grammar)), tree_(std::move(tree)), budget_(budget) {
  reset();
}

void GrammarMatcher::spend(std::size_t work) {
  spent_ += static_cast<std::int64_t>(work);
  require<UsageError>(spent_ - spent_before_ <= budget_.token && spent_ <= budget_.text,
                      "grammar: it takes too long to follow, over {} steps for {}",
                      spent_ > budget_.text ? budget_.text : budget_.token,
                      spent_ > budget_.text ? "a text" : "a token");
}

void GrammarMatcher::reset() {
  spent_ = spent_before_ = 0;
  for (const std::int32_t begin :
       grammar_->alternatives()[static_cast<std::size_t>(grammar_->root())]) {
    expand(begin, kEmptyStack);
  }
  current_ = finish_state();
}

GrammarMatcher::StackId GrammarMatcher::push(std::int32_t element, StackId rest) {
  const std::uint64_t key =
      std::uint64_t(static_cast<std::uint32_t>(element)) << 32 | static_cast<std::uint32_t>(rest);
  const auto [it, fresh] = stack_ids_.try_emplace(key, static_cast<StackId>(stacks_.size()));
  if (fresh) stacks_.push_back({element, rest});
  return it->second;
}

// Adds to the open state every stack that begins with reading a byte, by way of rules and ends.
void GrammarMatcher::expand(std::int32_t element, StackId rest) {
  using Kind = Grammar::Element::Kind;
  std::vector<Stack> work = {{element, rest}};
  // Left recursion was refused, so rules end; but ambiguity may come this way more than once.
  for (std::size_t done = 0; !work.empty(); ++done) {
    require<UsageError>(done < kMaxWork && open_.size() < kMaxStacksOfState,
                        "grammar: too ambiguous to follow");
    spend(1);
    const Stack top = work.back();
    work.pop_back();
    const Grammar::Element& e = grammar_->elements()[static_cast<std::size_t>(top.element)];
    switch (e.kind) {
      case Kind::bytes:
        open_.push_back(push(top.element, top.rest));
        break;
      case Kind::end:
        if (top.rest == kEmptyStack) {
          open_accepts_ = true;
        } else {
          work.push_back(stacks_[static_cast<std::size_t>(top.rest)]);
        }
        break;
      case Kind::rule: {
        // What follows the last element of an alternative is what follows the alternative: endless
        // lists need no endless stack.
        const auto& next = grammar_->elements()[static_cast<std::size_t>(top.element) + 1];
        const StackId after = next.kind == Kind::end ? top.rest : push(top.element + 1, top.rest);
        for (const std::int32_t begin :
             grammar_->alternatives()[static_cast<std::size_t>(e.index)]) {
          work.push_back({begin, after});
        }
        break;
      }
    }
  }
}

GrammarMatcher::StateId GrammarMatcher::finish_state() {
  std::sort(open_.begin(), open_.end());
  open_.erase(std::unique(open_.begin(), open_.end()), open_.end());
  std::string key(reinterpret_cast<const char*>(open_.data()), open_.size() * sizeof(StackId));
  key += open_accepts_ ? '1' : '0';
  const auto [it, fresh] =
      state_ids_.try_emplace(std::move(key), static_cast<StateId>(states_.size()));
  if (fresh) {
    constexpr std::size_t kStateWork = 64;  // takes so much longer than looking at a stack
    spend(kStateWork + open_.size());
    auto state = std::make_unique<State>();
    state->stacks = open_;
    state->accepts = open_accepts_;
    state->next.fill(kUnknown);
    states_.push_back(std::move(state));
  }
  open_.clear();
  open_accepts_ = false;
  return it->second;
}

GrammarMatcher::StateId GrammarMatcher::step(StateId from, std::uint8_t byte) {
  State& state = *states_[static_cast<std::size_t>(from)];
  StateId& next = state.next[byte];
  if (next != kUnknown) return next;
  spend(state.stacks.size());
  for (const StackId id : state.stacks) {
    const Stack stack = stacks_[static_cast<std::size_t>(id)];
    const auto& e = grammar_->elements()[static_cast<std::size_t>(stack.element)];
    if (grammar_->sets()[static_cast<std::size_t>(e.index)][byte]) {
      expand(stack.element + 1, stack.rest);
    }
  }
  next = open_.empty() && !open_accepts_ ? kDead : finish_state();
  return next;
}

// Keeps memory bounded in long texts.
void GrammarMatcher::forget_all_but_current() {
  if (states_.size() < kMaxStates && kept_tokens_ < kMaxKeptTokens) return;
  const State kept = *states_[static_cast<std::size_t>(current_)];
  const std::vector<Stack> old = std::move(stacks_);
  stacks_.clear();
  stack_ids_.clear();
  states_.clear();
  kept_tokens_ = 0;
  state_ids_.clear();
  for (const StackId id : kept.stacks) {
    std::vector<std::int32_t> elements;
    for (StackId at = id; at != kEmptyStack; at = old[static_cast<std::size_t>(at)].rest) {
      spend(1);
      elements.push_back(old[static_cast<std::size_t>(at)].element);
    }
    StackId rest = kEmptyStack;
    for (auto e = elements.rbegin(); e != elements.rend(); ++e) rest = push(*e, rest);
    open_.push_back(rest);
  }
  open_accepts_ = kept.accepts;
  current_ = finish_state();
}

std::span<const std::int32_t> GrammarMatcher::allowed() {
  forget_all_but_current();
  State& state = *states_[static_cast<std::size_t>(current_)];
  if (state.has_tokens) return state.tokens;
  const auto& nodes = tree_->nodes();
  // States from the root of the tree to the node before, each with the end of its subtree.
  std::vector<std::pair<StateId, std::int32_t>> path = {{current_, nodes[0].skip}};
  for (std::int32_t n = 1; n < nodes[0].skip;) {
    while (n >= path.back().second) path.pop_back();
    spend(1);
    const TokenTree::Node& node = nodes[static_cast<std::size_t>(n)];
    const StateId next = step(path.back().first, node.byte);
    if (next == kDead) {
      n = node.skip;
      continue;
    }
    for (std::int32_t t = node.first_token; t < node.last_token; ++t) {
      state.tokens.push_back(tree_->tokens()[static_cast<std::size_t>(t)]);
    }
    path.emplace_back(next, node.skip);
    ++n;
  }
  std::sort(state.tokens.begin(), state.tokens.end());
  state.has_tokens = true;
  kept_tokens_ += state.tokens.size();
  return state.tokens;
}

bool GrammarMatcher::may_end() const {
  return states_[static_cast<std::size_t>(current_)]->accepts;
}

bool GrammarMatcher::mask(std::span<float> logits, std::span<const std::int32_t> stop_tokens) {
  const auto keep = allowed();
  const bool stop = may_end() && !stop_tokens.empty();
  if (keep.empty() && !stop) return false;
  std::vector<std::pair<std::int32_t, float>> kept;
  kept.reserve(keep.size() + stop_tokens.size());
  const auto note = [&](std::int32_t id) {
    const auto at = static_cast<std::size_t>(id);
    if (id >= 0 && at < logits.size()) kept.emplace_back(id, logits[at]);
  };
  for (const std::int32_t id : keep) note(id);
  if (stop) {
    for (const std::int32_t id : stop_tokens) note(id);
  }
  std::fill(logits.begin(), logits.end(), -std::numeric_limits<float>::infinity());
  for (const auto& [id, logit] : kept) logits[static_cast<std::size_t>(id)] = logit;
  return true;
}

bool GrammarMatcher::accept_bytes(std::string_view bytes) {
  StateId state = current_;
  for (const char c : bytes) {
    state = step(state, static_cast<std::uint8_t>(c));
    if (state == kDead) return false;
  }
  current_ = state;
  spent_before_ = spent_;
  forget_all_but_current();
  return true;
}

bool GrammarMatcher::accept(std::int32_t token) {
  if (token < 0 || token >= tree_->vocab_size() || tree_->is_control(token)) return false;
  return accept_bytes(tree_->bytes(token));
}

}  // namespace stepstone
