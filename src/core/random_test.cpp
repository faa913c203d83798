#include "core/random.h"

#include <gtest/gtest.h>

namespace stepstone {
namespace {

// Known answers published with the Random123 library (kat_vectors, philox4x32-10).
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, 0),
            (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, ~std::uint64_t{0}),
            (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, PositionIsTheWholeState) {
  Random a(7, 3);
  for (int i = 0; i < 13; ++i) a.next_u32();
  Random b(7, 3, a.position());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(a.next_u32(), b.next_u32());
}

TEST(Random, BelowStaysInRangeAndHitsAll) {
  Random r(1);
  int seen[7] = {};
  for (int i = 0; i < 7000; ++i) ++seen[r.below(7)];
  for (int count : seen) EXPECT_NEAR(count, 1000, 150);
}

TEST(Random, NormalMoments) {
  Random r(5);
  double sum = 0, squares = 0;
  constexpr int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = r.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0.0, 0.02);
  EXPECT_NEAR(squares / n, 1.0, 0.02);
}

}  // namespace
}  // namespace stepstone
