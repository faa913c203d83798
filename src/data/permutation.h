// A pseudo-random permutation of [0, n) without a table.
#pragma once

#include <cstdint>

namespace stepstone {

// Four Feistel rounds over the smallest even number of bits that holds n - 1, with Philox as the
// round function; values beyond n walk on along their cycle (Black and Rogaway, "Ciphers with
// arbitrary finite domains", 2002). at() is a bijection for every n, key and tweak.
class Permutation {
 public:
  // n >= 1.
  Permutation(std::uint64_t n, std::uint64_t key, std::uint64_t tweak);
  std::uint64_t at(std::uint64_t index) const;

 private:
  std::uint64_t round_trip(std::uint64_t value) const;

  std::uint64_t n_, key_, tweak_;
  int half_bits_;
};

}  // namespace stepstone
