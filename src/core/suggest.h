// "did you mean …?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace stepstone {

// The candidate nearest to `word` by edit distance, if it is near enough to be a slip of the
// fingers (a third of its length, at least 2 edits); empty otherwise.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// " (did you mean \"x\"?)" or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace stepstone
