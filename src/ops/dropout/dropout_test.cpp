#include "ops/dropout/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/random.h"
#include "core/threads.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

constexpr float kP = 0.3f;

double steps(double p) { return std::floor(p * 65536 + 0.5); }

// The mask of dropout_cpu.h from the scalar generator.
bool kept(std::uint64_t i, std::uint64_t seed, std::uint64_t stream, double p) {
  const std::uint64_t counter = i / 128 * 16 + i % 16;
  const auto word =
      philox({static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
              static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
             seed)[i / 32 % 4];
  return (word >> (i / 16 % 2 * 16) & 0xffff) >= steps(p);
}

Tensor ones(std::int64_t n) {
  return Tensor::from<float>(std::vector<float>(static_cast<std::size_t>(n), 1), {n});
}

TEST(Op_dropout, Case) {
  check_op({
      .inputs = {{{5, 131}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return dropout(g, in[0], kP); },
      .reference =
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (std::size_t i = 0; i < y.size(); ++i) {
              y[i] *= kept(i, 11, 0, kP) ? 65536 / (65536 - steps(kP)) : 0;
            }
            return y;
          },
      .training = true,
  });
}

TEST(Op_dropout, MaskIsThatOfTheScalarGenerator) {
  const std::uint64_t seed = 0x9876543210fedcbaULL;
  Graph g({.training = true, .seed = seed});
  const std::int64_t n = 64 * 300 + 21;
  for (std::uint64_t stream = 0; stream < 3; ++stream) {
    const Var y = dropout(g, Var(ones(n)), 0.5f);
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(y.value().data<float>()[i],
                kept(static_cast<std::uint64_t>(i), seed, stream, 0.5) ? 2.0f : 0.0f)
          << stream << ", element " << i;
    }
  }
}

TEST(Op_dropout, KeepsTheRightShare) {
  constexpr std::int64_t n = 1 << 20;
  for (const float p : {0.01f, 0.1f, 0.9f}) {
    Graph g({.training = true, .seed = 5});
    const Var y = dropout(g, Var(ones(n)), p);
    double dropped = 0;
    for (const float v : y.value().span<float>()) dropped += v == 0;
    // Five standard deviations of a binomial.
    EXPECT_NEAR(dropped / n, p, 5 * std::sqrt(p * (1 - p) / n));
  }
}

TEST(Op_dropout, SeedAndStreamChangeTheMask) {
  const Var x(ones(1000));
  Graph a({.training = true, .seed = 1}), b({.training = true, .seed = 2});
  const Var first = dropout(a, x, 0.5f), second = dropout(a, x, 0.5f), other = dropout(b, x, 0.5f);
  EXPECT_NE(std::memcmp(first.value().raw(), second.value().raw(), 4000), 0);
  EXPECT_NE(std::memcmp(first.value().raw(), other.value().raw(), 4000), 0);
}

TEST(Op_dropout, IsTheIdentityWithoutACopy) {
  const Var x(ones(4));
  Graph evaluation, training({.training = true});
  EXPECT_EQ(dropout(evaluation, x, 0.5f).value().raw(), x.value().raw());
  EXPECT_EQ(dropout(training, x, 0).value().raw(), x.value().raw());
}

// Recomputation during the backward pass meets the same mask.
TEST(Op_dropout, SurvivesCheckpointing) {
  const auto run = [](bool checkpointed) {
    const Var x(ones(500), true);
    Graph g({.record = true, .training = true, .seed = 3});
    dropout(g, Var(ones(3)), 0.5f);
    const auto segment = [](Graph& inner, std::span<const Var> in) {
      return dropout(inner, dropout(inner, in[0], 0.2f), 0.4f);
    };
    const Var y = checkpointed ? g.checkpoint(segment, {x}) : segment(g, std::span(&x, 1));
    g.backward(y, ones(500));
    return x.grad();
  };
  const Tensor a = run(false), b = run(true);
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

TEST(Op_dropout, RefusesImpossibleProbabilities) {
  Graph g;
  for (const float p : {-0.1f, 1.0f, std::nanf("")}) {
    EXPECT_THROW(dropout(g, Var(ones(4)), p), UsageError);
  }
}

}  // namespace
}  // namespace stepstone::ops
