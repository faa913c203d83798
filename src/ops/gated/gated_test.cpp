#include "ops/gated/gated.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/columns/columns.h"
#include "ops/mul/mul.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }
double relu2(double x) { return x > 0 ? x * x : 0; }

void check(Activation kind, double (*f)(double), std::int64_t n) {
  check_op({
      .inputs = {{{9, 2 * n}, true, -3, 3}},
      .op = [=](Graph& g, const std::vector<Var>& in) { return gated(g, in[0], kind); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            const auto width = static_cast<std::size_t>(n);
            Doubles y;
            for (std::size_t i = 0; i < in[0].size(); i += 2 * width) {
              for (std::size_t j = 0; j < width; ++j) {
                y.push_back(f(in[0][i + j]) * in[0][i + width + j]);
              }
            }
            return y;
          },
      .composite =
          [=](Graph& g, const std::vector<Var>& in) {
            const Var gate = activation(g, columns(g, in[0], 0, n), kind);
            return mul(g, gate, columns(g, in[0], n, 2 * n));
          },
  });
}

TEST(Op_gated, Case) {
  for (const std::int64_t n : {1, 16, 37}) {
    check(Activation::silu, silu, n);
    check(Activation::gelu_erf, gelu, n);
    check(Activation::relu2, relu2, n);
  }
}

TEST(Op_gated, Bf16StaysBf16) {
  const std::vector<float> x = {1.5f, -0.75f, 2.0f, 4.0f};  // gate 1.5 -0.75, up 2 4
  const Var in(Tensor::from<float>(x, {1, 4}).to(DType::bf16), true);
  Graph g({.record = true, .compute = DType::bf16});
  const Var y = gated(g, in, Activation::silu);
  ASSERT_EQ(y.value().dtype(), DType::bf16);
  EXPECT_NEAR(static_cast<float>(y.value().data<bf16>()[0]), 2 * silu(1.5), 0.02);
  EXPECT_NEAR(static_cast<float>(y.value().data<bf16>()[1]), 4 * silu(-0.75), 0.01);
  g.backward(y, Tensor::from<float>(std::vector<float>{1, 1}, {1, 2}).to(DType::bf16));
  EXPECT_NEAR(static_cast<float>(in.grad().data<bf16>()[2]), silu(1.5), 0.01);
}

TEST(Op_gated, RefusesOddWidth) {
  Graph g;
  EXPECT_THROW(gated(g, Var(Tensor::zeros({2, 3}, DType::f32)), Activation::silu), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
