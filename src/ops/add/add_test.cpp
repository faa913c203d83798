#include "ops/add/add.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

TEST(Op_add, Case) {
  check_op({
      .inputs = {{{5, 37}}, {{5, 37}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return add(g, in[0], in[1]); },
      .reference =
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (std::size_t i = 0; i < y.size(); ++i) y[i] += in[1][i];
            return y;
          },
  });
}

TEST(Op_add, RefusesUnequalShapes) {
  Graph g;
  EXPECT_THROW(
      add(g, Var(Tensor::zeros({2, 3}, DType::f32)), Var(Tensor::zeros({3, 2}, DType::f32))),
      UsageError);
}

}  // namespace
}  // namespace stepstone::ops
