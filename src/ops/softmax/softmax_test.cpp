#include "ops/softmax/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

TEST(Op_softmax, Case) {
  for (const std::size_t n : {1, 37, 200}) {
    check_op({
        .inputs = {{{7, static_cast<std::int64_t>(n)}, true, -4, 4}},
        .op = [](Graph& g, const std::vector<Var>& in) { return softmax(g, in[0]); },
        .reference =
            [n](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (std::size_t i = 0; i < y.size(); i += n) {
                double sum = 0;
                for (std::size_t j = i; j < i + n; ++j) sum += y[j] = std::exp(y[j]);
                for (std::size_t j = i; j < i + n; ++j) y[j] /= sum;
              }
              return y;
            },
    });
  }
}

TEST(Op_softmax, ExtremesDoNotOverflow) {
  const float infinity = std::numeric_limits<float>::infinity();
  Graph g;
  const std::vector<float> x = {1e4f, -infinity, 1e4f, -1e4f};
  const Var y = softmax(g, Var(Tensor::from<float>(x, {1, 4})));
  const float expected[] = {0.5f, 0, 0.5f, 0};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(y.value().data<float>()[i], expected[i]);
}

}  // namespace
}  // namespace stepstone::ops
