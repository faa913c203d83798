#include "ops/activation/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

constexpr Activation kAll[] = {Activation::silu, Activation::gelu_erf, Activation::gelu_tanh,
                               Activation::relu, Activation::relu2,    Activation::tanh};

double reference(Activation kind, double x) {
  switch (kind) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_erf:
      return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::relu2:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case Activation::tanh:
      return std::tanh(x);
  }
  return 0;
}

std::vector<float> values(Activation kind, std::vector<float> x) {
  Graph g;
  const auto n = static_cast<std::int64_t>(x.size());
  const Var y = activation(g, Var(Tensor::from<float>(x, {n})), kind);
  const auto s = y.value().span<float>();
  return {s.begin(), s.end()};
}

std::vector<float> slopes(Activation kind, std::vector<float> x) {
  Graph g({.record = true});
  const auto n = static_cast<std::int64_t>(x.size());
  const Var in(Tensor::from<float>(x, {n}), true);
  const Var y = activation(g, in, kind);
  g.backward(y, Tensor::from<float>(std::vector<float>(x.size(), 1.0f), {n}));
  const auto s = in.grad().span<float>();
  return {s.begin(), s.end()};
}

TEST(Op_activation, Case) {
  for (const Activation kind : kAll) {
    SCOPED_TRACE(static_cast<int>(kind));
    check_op({
        .inputs = {{{7, 37}, true, -6, 6}},
        .op = [=](Graph& g, const std::vector<Var>& in) { return activation(g, in[0], kind); },
        .reference =
            [=](const std::vector<Doubles>& in) {
              Doubles y;
              for (double x : in[0]) y.push_back(reference(kind, x));
              return y;
            },
    });
  }
}

// Absolute error in units of the last place of max(|x|, 1), over a range that covers every branch.
TEST(Op_activation, IsAccurate) {
  std::vector<float> x;
  for (int i = -40000; i <= 40000; ++i) x.push_back(static_cast<float>(i) * 2.5e-4f);
  for (const Activation kind : kAll) {
    const auto y = values(kind, x);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double unit = 0x1p-23 * std::max(std::abs(static_cast<double>(x[i])), 1.0);
      worst = std::max(worst, std::abs(y[i] - reference(kind, x[i])) / unit);
    }
    // relu2 rounds a value of up to 100.
    EXPECT_LT(worst, kind == Activation::relu2 ? 10 : 3) << static_cast<int>(kind);
  }
}

TEST(Op_activation, ExtremesAndNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Activation kind : kAll) {
    SCOPED_TRACE(static_cast<int>(kind));
    const auto y = values(kind, {-1e4f, 1e4f, 0.0f, nan});
    EXPECT_NEAR(y[0], kind == Activation::tanh ? -1 : 0, 1e-30);
    EXPECT_FLOAT_EQ(y[1], static_cast<float>(reference(kind, 1e4)));
    EXPECT_EQ(y[2], 0.0f);
    EXPECT_TRUE(std::isnan(y[3]));
    const auto slope = slopes(kind, {-1e4f, 1e4f});
    EXPECT_NEAR(slope[0], 0, 1e-26);
    EXPECT_FLOAT_EQ(slope[1], kind == Activation::tanh    ? 0.0f
                              : kind == Activation::relu2 ? 2e4f
                                                          : 1.0f);
  }
  EXPECT_EQ(values(Activation::tanh, {infinity})[0], 1.0f);
}

TEST(Op_activation, ReluSlopeAtZeroIsZero) {
  EXPECT_EQ(slopes(Activation::relu, {0.0f})[0], 0.0f);
  EXPECT_EQ(slopes(Activation::relu2, {0.0f})[0], 0.0f);
}

// An element's result does not depend on its place: vector body or tail.
TEST(Op_activation, PlaceDoesNotMatter) {
  for (const Activation kind : kAll) {
    const auto y = values(kind, std::vector<float>(67, 0.7371f));
    for (const float v : y) EXPECT_EQ(v, y[0]);
  }
}

TEST(Op_activation, Bf16StaysBf16) {
  for (const Activation kind : kAll) {
    const std::vector<float> x = {-2.5f, -0.3f, 0.0f, 0.4f, 3.0f};
    Graph g({.record = true, .compute = DType::bf16});
    const Var in(Tensor::from<float>(x, {5}).to(DType::bf16), true);
    const Var y = activation(g, in, kind);
    ASSERT_EQ(y.value().dtype(), DType::bf16);
    g.backward(y, Tensor::from<float>(std::vector<float>(5, 1.0f), {5}).to(DType::bf16));
    const auto slope = slopes(kind, {static_cast<float>(in.value().data<bf16>()[3])});
    EXPECT_NEAR(static_cast<float>(in.grad().data<bf16>()[3]), slope[0], 0x1p-8);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = reference(kind, static_cast<float>(in.value().data<bf16>()[i]));
      EXPECT_NEAR(static_cast<float>(y.value().data<bf16>()[i]), expected,
                  0x1p-8 * std::max(std::abs(expected), 1.0));
    }
  }
}

}  // namespace
}  // namespace stepstone::ops
