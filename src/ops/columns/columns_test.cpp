#include "ops/columns/columns.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

void check(std::size_t begin, std::size_t end) {
  constexpr std::size_t n = 50;
  check_op({
      .inputs = {{{7, n}}},
      .op =
          [=](Graph& g, const std::vector<Var>& in) {
            return columns(g, in[0], static_cast<std::int64_t>(begin),
                           static_cast<std::int64_t>(end));
          },
      .reference =
          [=](const std::vector<Doubles>& in) {
            Doubles y;
            for (std::size_t i = 0; i < in[0].size(); ++i) {
              if (begin <= i % n && i % n < end) y.push_back(in[0][i]);
            }
            return y;
          },
  });
}

TEST(Op_columns, Case) {
  check(0, 50);
  check(0, 1);
  check(13, 50);
  check(20, 41);
}

TEST(Op_columns, RefusesColumnsOutside) {
  Graph g;
  const Var x(Tensor::zeros({2, 3}, DType::f32));
  EXPECT_THROW(columns(g, x, 0, 4), UsageError);
  EXPECT_THROW(columns(g, x, 2, 1), UsageError);
  EXPECT_THROW(columns(g, x, -1, 1), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
