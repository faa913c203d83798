#include "data/permutation.h"

#include <bit>

#include "core/error.h"
#include "core/random.h"

namespace stepstone {

Permutation::Permutation(std::uint64_t n, std::uint64_t key, std::uint64_t tweak)
    : n_(n), key_(key), tweak_(tweak), half_bits_((std::bit_width(n - 1) + 1) / 2) {
  require(n >= 1 && n <= std::uint64_t{1} << 62, "permutation of {} items", n);
  if (half_bits_ == 0) half_bits_ = 1;
}

std::uint64_t Permutation::round_trip(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_, right = value & mask;
  for (std::uint32_t round = 0; round < 4; ++round) {
    const auto mixed =
        philox({static_cast<std::uint32_t>(right), round, static_cast<std::uint32_t>(tweak_),
                static_cast<std::uint32_t>(tweak_ >> 32)},
               key_);
    const std::uint64_t next = (left ^ mixed[0]) & mask;
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

std::uint64_t Permutation::at(std::uint64_t index) const {
  require(index < n_, "permutation: {} of {}", index, n_);
  do {
    index = round_trip(index);
  } while (index >= n_);
  return index;
}

}  // namespace stepstone
