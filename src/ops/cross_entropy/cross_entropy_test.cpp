#include "ops/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

Doubles reference(const Doubles& z, std::size_t n, const std::vector<std::int32_t>& targets,
                  const CrossEntropyConfig& config) {
  double total = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) sum += std::exp(z[i * n + j]);
    const double lse = std::log(sum);
    total += lse - z[i * n + static_cast<std::size_t>(targets[i])] + config.z_loss * lse * lse;
  }
  return {config.scale * total};
}

void check(std::int64_t n, const std::vector<std::int32_t>& targets,
           const CrossEntropyConfig& config) {
  check_op({
      .inputs = {{{static_cast<std::int64_t>(targets.size()), n}, true, -4, 4}},
      .op = [=](Graph& g,
                const std::vector<Var>& in) { return cross_entropy(g, in[0], targets, config); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            return reference(in[0], static_cast<std::size_t>(n), targets, config);
          },
  });
}

TEST(Op_cross_entropy, Case) {
  check(37, {3, 36, 0, -1, 5}, {.scale = 0.25f});
  check(130, {3, 36, 129}, {.scale = 0.5f, .z_loss = 0.05f});
  check(2, {1, 0, -1}, {});
}

TEST(Op_cross_entropy, OneClassHasNoLoss) {
  Graph g({.record = true});
  const Var z(Tensor::from<float>(std::vector<float>{5, -1e4f}, {2, 1}), true);
  const std::vector<std::int32_t> targets = {0, 0};
  const Var y = cross_entropy(g, z, targets);
  EXPECT_EQ(y.value().data<float>()[0], 0.0f);
  g.backward(y);
  EXPECT_EQ(z.grad().data<float>()[0], 0.0f);
}

TEST(Op_cross_entropy, ExtremeLogits) {
  Graph g({.record = true});
  const float infinity = std::numeric_limits<float>::infinity();
  const Var z(Tensor::from<float>(std::vector<float>{1e4f, -1e4f, 0, -infinity, 1, 1}, {2, 3}),
              true);
  const std::vector<std::int32_t> targets = {1, 2};
  const Var y = cross_entropy(g, z, targets);
  EXPECT_FLOAT_EQ(y.value().data<float>()[0], 2e4f + std::log(2.0f));
  g.backward(y);
  const float expected[] = {1, -1, 0, 0, 0.5f, -0.5f};
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(z.grad().data<float>()[i], expected[i]) << i;
}

TEST(Op_cross_entropy, NanIsNotHidden) {
  Graph g;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t at = 0; at < 40; at += 13) {
    std::vector<float> z(40, 1.0f);
    z[at] = nan;
    const std::vector<std::int32_t> targets = {2};
    const Var y = cross_entropy(g, Var(Tensor::from<float>(z, {1, 40})), targets);
    EXPECT_TRUE(std::isnan(y.value().data<float>()[0]));
  }
}

TEST(Op_cross_entropy, RefusesBadTargets) {
  Graph g;
  const Var z(Tensor::zeros({2, 3}, DType::f32));
  EXPECT_THROW(cross_entropy(g, z, std::vector<std::int32_t>{0, 3}), UsageError);
  EXPECT_THROW(cross_entropy(g, z, std::vector<std::int32_t>{-2, 0}), UsageError);
  EXPECT_THROW(cross_entropy(g, z, std::vector<std::int32_t>{0}), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
