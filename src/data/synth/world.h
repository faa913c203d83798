// The closed world: people with names in both languages, and one value per person and attribute.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "data/synth.h"

namespace stepstone::synth {

struct Person {
  std::string_view en, zh;
  bool female;
  std::string_view name(Language language) const { return language == Language::en ? en : zh; }
};

enum class Attribute : std::uint8_t { home, job, pet, color, food, hobby, friend_, age };
inline constexpr int kAttributes = 8;

// A value in both languages, as it stands in a sentence ("a cat", "一只猫"), and in a noun's bare
// form ("cat", "猫").
struct Value {
  std::string_view en, zh, en_bare, zh_bare;
};

// All people that exist at any level; a world of level l holds the first people_of_level(l).
const std::vector<Person>& all_people();
int people_of_level(int level);

// Values that an attribute can take. `friend_` and `age` have none here: a friend is a person, an
// age a number.
const std::vector<Value>& values_of(Attribute attribute);

class World {
 public:
  World(std::uint64_t seed, int level);

  int people() const { return people_; }
  const Person& person(int index) const { return all_people()[static_cast<std::size_t>(index)]; }
  // The attributes that people of this world have: the first six at level 0, all from level 1.
  int attributes() const { return attributes_; }

  // Index into values_of(attribute); of a person for `friend_`; the number of years for `age`.
  int value(int person, Attribute attribute) const {
    return values_[static_cast<std::size_t>(person * kAttributes + static_cast<int>(attribute))];
  }
  // The value as it stands in a sentence, and its bare form.
  std::string text(int person, Attribute attribute, Language language) const;
  std::string bare(int person, Attribute attribute, Language language) const;

 private:
  int people_, attributes_;
  std::vector<int> values_;
};

}  // namespace stepstone::synth
