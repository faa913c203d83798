// The plots of the short stories, as data.
#pragma once

#include <string_view>
#include <vector>

#include "data/synth.h"

namespace stepstone::synth {

// Slots of every pattern: {A} {B} the two characters; {a} {b} "she"/"he" and {A's} {B's} "her"/
// "his" of each ({a^} with a capital); {thing} {other} two objects ("kite"), {color} of the first;
// {place} {there} two places as phrases ("under the bed"); {animal}; {food}; {number} 2 to 5.
struct Sentence {
  bool needed;  // told in comprehension questions too; others are colour
  std::vector<std::string_view> wordings;
};

struct StoryQuestion {
  std::string_view question, answer, bare;
};

struct Plot {
  std::string_view id;
  bool outdoors;  // {place} is out of doors
  std::vector<Sentence> sentences;
  std::vector<StoryQuestion> questions;
};

// The same plots in the same order in each language.
const std::vector<Plot>& plots(Language language);

}  // namespace stepstone::synth
