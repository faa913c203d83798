#include "ops/linear/linear.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

Doubles reference(const std::vector<Doubles>& in, std::size_t k) {
  const std::size_t rows = in[0].size() / k, n = in[1].size() / k;
  Doubles y(rows * n);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = in.size() > 2 ? in[2][j] : 0;
      for (std::size_t l = 0; l < k; ++l) sum += in[0][i * k + l] * in[1][j * k + l];
      y[i * n + j] = sum;
    }
  }
  return y;
}

TEST(Op_linear, WithBias) {
  check_op({
      .inputs = {{{9, 17}}, {{11, 17}}, {{11}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return linear(g, in[0], in[1], in[2]); },
      .reference = [](const std::vector<Doubles>& in) { return reference(in, 17); },
  });
}

TEST(Op_linear, WithoutBias) {
  check_op({
      .inputs = {{{70, 33}}, {{40, 33}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return linear(g, in[0], in[1]); },
      .reference = [](const std::vector<Doubles>& in) { return reference(in, 33); },
  });
}

TEST(Op_linear, RefusesWrongShapes) {
  Graph g;
  const Var x(Tensor::zeros({2, 3}, DType::f32));
  EXPECT_THROW(linear(g, x, Var(Tensor::zeros({5, 4}, DType::f32))), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
