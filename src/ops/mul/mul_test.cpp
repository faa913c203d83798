#include "ops/mul/mul.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

// b's element for element i of a.
void check(Shape a, Shape b, std::function<std::size_t(std::size_t)> index) {
  check_op({
      .inputs = {{a}, {b}},
      .op = [](Graph& g, const std::vector<Var>& in) { return mul(g, in[0], in[1]); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (std::size_t i = 0; i < y.size(); ++i) y[i] *= in[1][index(i)];
            return y;
          },
  });
}

TEST(Op_mul, EqualShapes) {
  check({5, 37}, {5, 37}, [](std::size_t i) { return i; });
}
TEST(Op_mul, RowVector) {
  check({70, 37}, {37}, [](std::size_t i) { return i % 37; });
}
TEST(Op_mul, ColumnVector) {
  check({70, 37}, {70, 1}, [](std::size_t i) { return i / 37; });
}

TEST(Op_mul, Square) {
  check_op({
      .inputs = {{{3, 20}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return mul(g, in[0], in[0]); },
      .reference =
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (double& x : y) x *= x;
            return y;
          },
  });
}

TEST(Op_mul, RefusesOtherShapes) {
  Graph g;
  const Var a(Tensor::zeros({4, 3}, DType::f32));
  EXPECT_THROW(mul(g, a, Var(Tensor::zeros({4}, DType::f32))), UsageError);
  EXPECT_THROW(mul(g, a, Var(Tensor::zeros({3, 4}, DType::f32))), UsageError);
  EXPECT_THROW(mul(g, a, Var(Tensor::zeros({3}, DType::bf16))), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
