// SentencePiece's precompiled normalisation rules: a double-array trie (Yata et al. 2007, the
// layout of darts-clone) from strings to their replacements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

class Charsmap {
 public:
  // `blob` is the size of the trie in bytes (4 bytes, little-endian), the trie, then the
  // replacements, each ending in NUL. Throws FormatError(file, field).
  Charsmap(std::string_view blob, std::string_view file, std::string_view field);

  struct Match {
    std::size_t length;  // bytes matched
    std::string_view replacement;
  };
  // The longest, or the shortest, rule that `text` begins with.
  std::optional<Match> find(std::string_view text, bool longest) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace stepstone
