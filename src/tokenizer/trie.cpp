#include "tokenizer/trie.h"

namespace stepstone {

Trie::Trie(std::vector<std::pair<std::string_view, std::int32_t>> entries) {
  std::sort(entries.begin(), entries.end());
  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, entries.size(), 0}};  // by node
  nodes_.emplace_back();
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    auto [at, end, depth] = ranges[node];
    if (at < end && entries[at].first.size() == depth) nodes_[node].value = entries[at++].second;
    nodes_[node].first = static_cast<std::uint32_t>(nodes_.size());
    while (at < end) {
      const auto label = static_cast<unsigned char>(entries[at].first[depth]);
      const std::size_t begin = at;
      while (at < end && static_cast<unsigned char>(entries[at].first[depth]) == label) ++at;
      nodes_.push_back({.first = 0, .count = 0, .label = label, .value = -1});
      ranges.push_back({begin, at, depth + 1});
      ++nodes_[node].count;
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    of_first_byte_.push_back(child(0, static_cast<unsigned char>(byte)));
  }
}

}  // namespace stepstone
