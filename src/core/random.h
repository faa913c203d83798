// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011). The n-th number of a stream is a pure function of (seed, stream, n), so
// results do not depend on threads, order or resume.
#pragma once

#include <array>
#include <cstdint>

namespace stepstone {

// Ten Philox rounds on a 128-bit counter with a 64-bit key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key);

// A stream of numbers whose whole state is (seed, stream, position).
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0, std::uint64_t position = 0)
      : seed_(seed), stream_(stream), position_(position) {}

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  // Uniform in [0, 1) with 24 random bits.
  float uniform() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }
  // Uniform integer in [0, n), n >= 1, without modulo bias.
  std::uint64_t below(std::uint64_t n);
  // Standard normal (Box–Muller, one value per two draws; computed in double, so the same
  // everywhere libm is).
  double normal();

  std::uint64_t position() const { return position_; }

 private:
  std::uint64_t seed_, stream_, position_;
  std::array<std::uint32_t, 4> block_{};
  std::uint64_t block_index_ = ~std::uint64_t{0};
};

}  // namespace stepstone
