// Strings by prefix: all entries that a text begins with, shortest first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace stepstone {

class Trie {
 public:
  Trie() = default;
  // Entries with distinct, non-empty strings and values of 0 or more.
  explicit Trie(std::vector<std::pair<std::string_view, std::int32_t>> entries);

  // Calls visit(length, value) for each entry that `text` begins with.
  template <typename F>
  void prefixes(std::string_view text, F&& visit) const {
    if (text.empty() || nodes_.empty()) return;
    std::uint32_t node = of_first_byte_[static_cast<unsigned char>(text[0])];
    for (std::size_t i = 0; node != 0;) {
      if (nodes_[node].value >= 0) visit(i + 1, nodes_[node].value);
      if (++i == text.size()) return;
      node = child(node, static_cast<unsigned char>(text[i]));
    }
  }

 private:
  struct Node {
    std::uint32_t first = 0;  // of the children, which stand together
    std::uint16_t count = 0;
    unsigned char label = 0;
    std::int32_t value = -1;
  };

  // 0, the root, for none.
  std::uint32_t child(std::uint32_t node, unsigned char label) const {
    const Node* const begin = nodes_.data() + nodes_[node].first;
    const Node* const end = begin + nodes_[node].count;
    const Node* const found = std::lower_bound(
        begin, end, label, [](const Node& one, unsigned char byte) { return one.label < byte; });
    return found != end && found->label == label ? static_cast<std::uint32_t>(found - nodes_.data())
                                                 : 0;
  }

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> of_first_byte_;  // child(0, byte): the root has the most children
};

}  // namespace stepstone
