#include "ops/layer_norm/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/add/add.h"
#include "ops/inverse_sqrt/inverse_sqrt.h"
#include "ops/mul/mul.h"
#include "ops/row_mean/row_mean.h"
#include "ops/scale/scale.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

constexpr double kEps = 1e-5;

Doubles reference(const std::vector<Doubles>& in) {
  const Doubles &x = in[0], &w = in[1];
  const std::size_t n = w.size();
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size(); i += n) {
    double mean = 0, squares = 0;
    for (std::size_t j = 0; j < n; ++j) mean += x[i + j] / static_cast<double>(n);
    for (std::size_t j = 0; j < n; ++j) squares += (x[i + j] - mean) * (x[i + j] - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + kEps);
    for (std::size_t j = 0; j < n; ++j) {
      y[i + j] = (x[i + j] - mean) * scale * w[j] + (in.size() > 2 ? in[2][j] : 0);
    }
  }
  return y;
}

Var composite(Graph& g, const std::vector<Var>& in) {
  Tensor t = Tensor::empty(in[0].shape(), DType::f32);
  for (float& x : t.span<float>()) x = 1;
  const Var ones(t);
  const Var centred = add(g, in[0], mul(g, ones, scale(g, row_mean(g, in[0]), -1)));
  const Var inverse = inverse_sqrt(g, row_mean(g, mul(g, centred, centred)), kEps);
  const Var y = mul(g, mul(g, centred, inverse), in[1]);
  return in.size() > 2 ? add(g, y, mul(g, ones, in[2])) : y;
}

TEST(Op_layer_norm, Case) {
  for (const std::int64_t n : {7, 64, 100}) {
    check_op({
        .inputs = {{{70, n}, true, 0.2, 2}, {{n}}, {{n}}},
        .op = [](Graph& g,
                 const std::vector<Var>& in) { return layer_norm(g, in[0], in[1], in[2], kEps); },
        .reference = reference,
        .composite = composite,
    });
  }
}

TEST(Op_layer_norm, WithoutBias) {
  check_op({
      .inputs = {{{3, 33}}, {{33}}},
      .op = [](Graph& g,
               const std::vector<Var>& in) { return layer_norm(g, in[0], in[1], {}, kEps); },
      .reference = reference,
      .composite = composite,
  });
}

// The variance is taken about the mean: a large offset must not drown it.
TEST(Op_layer_norm, LargeMean) {
  std::vector<float> x(37);
  for (std::size_t j = 0; j < x.size(); ++j) x[j] = 1000.0f + static_cast<float>(j % 3) - 1;
  Graph g;
  const Var ones(Tensor::from<float>(std::vector<float>(37, 1), {37}));
  const Var y = layer_norm(g, Var(Tensor::from<float>(x, {1, 37})), ones, {}, kEps);
  const auto expected = reference({Doubles(x.begin(), x.end()), Doubles(37, 1)});
  for (std::size_t j = 0; j < x.size(); ++j) {
    EXPECT_NEAR(y.value().data<float>()[j], expected[j], 1e-3);
  }
}

TEST(Op_layer_norm, RefusesWrongShapes) {
  Graph g;
  const Var x(Tensor::zeros({2, 3}, DType::f32));
  const Var three(Tensor::zeros({3}, DType::f32)), four(Tensor::zeros({4}, DType::f32));
  EXPECT_THROW(layer_norm(g, x, four, {}, kEps), UsageError);
  EXPECT_THROW(layer_norm(g, x, three, four, kEps), UsageError);
  EXPECT_THROW(layer_norm(g, x, {}, {}, kEps), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
