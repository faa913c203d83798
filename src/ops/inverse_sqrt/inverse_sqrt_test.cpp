#include "ops/inverse_sqrt/inverse_sqrt.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

TEST(Op_inverse_sqrt, Case) {
  check_op({
      .inputs = {{{5, 37}, true, 0.1, 3}},
      .op = [](Graph& g, const std::vector<Var>& in) { return inverse_sqrt(g, in[0], 0.25f); },
      .reference =
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (double& x : y) x = 1 / std::sqrt(x + 0.25);
            return y;
          },
  });
}

}  // namespace
}  // namespace stepstone::ops
