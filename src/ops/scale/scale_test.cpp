#include "ops/scale/scale.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

TEST(Op_scale, Case) {
  check_op({
      .inputs = {{{5, 37}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return scale(g, in[0], -2.5f); },
      .reference =
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (double& x : y) x *= -2.5;
            return y;
          },
  });
}

}  // namespace
}  // namespace stepstone::ops
