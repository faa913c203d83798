// Pre-tokenizer patterns that have no hand-written scanner, through PCRE2 (compiled by its JIT
// where there is one; character classes of the Unicode version PCRE2 was built with).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace stepstone {

class RegexSplitter {
 public:
  static constexpr std::size_t kMaxPatternBytes = 16384;

  // Throws UsageError, saying what PCRE2 says, for a pattern that is too long or does not compile.
  explicit RegexSplitter(std::string pattern);
  ~RegexSplitter();
  RegexSplitter(const RegexSplitter&) = delete;
  RegexSplitter& operator=(const RegexSplitter&) = delete;

  const std::string& pattern() const { return pattern_; }

  // Calls piece() for each match and each stretch between matches; a byte that is not UTF-8 is a
  // piece of its own. Throws Error when a match takes more steps than the limit.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

  // Calls found() with the first and last byte of each match in UTF-8 text, left to right.
  void matches(std::string_view text,
               const std::function<void(std::size_t begin, std::size_t end)>& found) const;

 private:
  struct Compiled;
  void split_valid(std::string_view text, const std::function<void(std::string_view)>& piece) const;

  std::string pattern_;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace stepstone
