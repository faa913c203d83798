// Small text helpers of the generator: templates with named slots, picking, joining, key hashes.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/random.h"

namespace stepstone::synth {

using Slot = std::pair<std::string_view, std::string_view>;
using Slots = std::initializer_list<Slot>;

// Replaces every {name} of `pattern` by the slot's value. Throws Error for an unknown slot or a
// brace that is not closed: the patterns are ours, so either is a bug.
std::string fill(std::string_view pattern, std::span<const Slot> slots);
inline std::string fill(std::string_view pattern, Slots slots) {
  return fill(pattern, std::span<const Slot>(slots.begin(), slots.size()));
}

template <typename Container>
const auto& pick(const Container& choices, Random& random) {
  return choices[random.below(std::size(choices))];
}

inline bool chance(double probability, Random& random) { return random.uniform() < probability; }

// Uniform integer in [low, high].
inline int between(int low, int high, Random& random) {
  return low + static_cast<int>(random.below(static_cast<std::uint64_t>(high - low) + 1));
}

// Fisher–Yates.
template <typename T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[random.below(i)]);
  }
}

std::string join(std::span<const std::string> parts, std::string_view separator);

// "cat, dog and sun" in English, "cat、dog和sun" in Chinese.
std::string join_and(std::span<const std::string> parts, std::string_view separator,
                     std::string_view last);

// ASCII upper case of the whole string, or of its first letter.
std::string upper(std::string_view text);
std::string capitalised(std::string_view text);

}  // namespace stepstone::synth
