#include "ops/row_mean/row_mean.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

TEST(Op_row_mean, Case) {
  for (const std::size_t n : {1, 37, 100}) {
    check_op({
        .inputs = {{{9, static_cast<std::int64_t>(n)}}},
        .op = [](Graph& g, const std::vector<Var>& in) { return row_mean(g, in[0]); },
        .reference =
            [n](const std::vector<Doubles>& in) {
              Doubles y(9);
              for (std::size_t i = 0; i < in[0].size(); ++i) {
                y[i / n] += in[0][i] / static_cast<double>(n);
              }
              return y;
            },
    });
  }
}

}  // namespace
}  // namespace stepstone::ops
