#include "ops/head_loss/head_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/random.h"
#include "ops/activation/activation.h"
#include "ops/add/add.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/linear/linear.h"
#include "ops/scale/scale.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

using Targets = std::vector<std::int32_t>;

Tensor random_tensor(Shape shape, std::uint64_t seed, float size = 1) {
  Random random(seed);
  Tensor t = Tensor::empty(shape, DType::f32);
  for (float& x : t.span<float>()) x = size * (2 * random.uniform() - 1);
  return t;
}

Doubles reference(const std::vector<Doubles>& in, std::size_t d, const Targets& targets,
                  const HeadLossConfig& config) {
  const std::size_t vocabulary = in[1].size() / d;
  double total = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    double sum = 0, at_target = 0;
    for (std::size_t v = 0; v < vocabulary; ++v) {
      double z = 0;
      for (std::size_t j = 0; j < d; ++j) z += in[0][i * d + j] * in[1][v * d + j];
      if (config.softcap > 0) z = config.softcap * std::tanh(z / config.softcap);
      sum += std::exp(z);
      if (v == static_cast<std::size_t>(targets[i])) at_target = z;
    }
    const double lse = std::log(sum);
    total += lse - at_target + config.z_loss * lse * lse;
  }
  return {config.scale * total};
}

Var composite(Graph& g, const Var& x, const Var& weight, const Targets& targets,
              const HeadLossConfig& config) {
  Var z = linear(g, x, weight);
  if (config.softcap > 0) {
    z = scale(g, activation(g, scale(g, z, 1 / config.softcap), Activation::tanh), config.softcap);
  }
  return cross_entropy(g, z, targets, {.scale = config.scale, .z_loss = config.z_loss});
}

void check(std::int64_t vocabulary, std::int64_t d, const Targets& targets,
           const HeadLossConfig& config) {
  check_op({
      .inputs = {{{static_cast<std::int64_t>(targets.size()), d}, true, -2, 2},
                 {{vocabulary, d}, true, -2, 2}},
      .op = [=](Graph& g,
                const std::vector<Var>& in) { return head_loss(g, in[0], in[1], targets, config); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            return reference(in, static_cast<std::size_t>(d), targets, config);
          },
      .composite =
          [=](Graph& g, const std::vector<Var>& in) {
            return composite(g, in[0], in[1], targets, config);
          },
  });
}

TEST(Op_head_loss, Case) {
  check(37, 8, {3, 36, 0, 5, 5}, {.scale = 0.2f});
  check(37, 8, {3, 36, 0, 5, 5, 1, 2}, {.scale = 0.2f, .chunk = 3});
  check(130, 5, {3, -1, -1, 129, 7, -1}, {.scale = 1.0f, .chunk = 2});
  check(50, 6, {0, 49, 11}, {.softcap = 3.0f, .z_loss = 0.01f, .chunk = 1});
}

TEST(Op_head_loss, VocabularyOfOne) {
  Graph g({.record = true});
  const Var x(random_tensor({2, 3}, 1), true), w(random_tensor({1, 3}, 2), true);
  const Var y = head_loss(g, x, w, Targets{0, 0});
  EXPECT_EQ(y.value().data<float>()[0], 0.0f);
  g.backward(y);
  for (const float v : x.grad().span<float>()) EXPECT_EQ(v, 0.0f);
}

TEST(Op_head_loss, AllTargetsIgnored) {
  Graph g({.record = true});
  const Var x(random_tensor({2, 3}, 1), true), w(random_tensor({5, 3}, 2), true);
  Tensor nll;
  const Var y = head_loss(g, x, w, Targets{-1, -1}, {.token_nll = &nll});
  EXPECT_EQ(y.value().data<float>()[0], 0.0f);
  EXPECT_EQ(nll.data<float>()[1], 0.0f);
  g.backward(y);
  for (const float v : x.grad().span<float>()) EXPECT_EQ(v, 0.0f);
  for (const float v : w.grad().span<float>()) EXPECT_EQ(v, 0.0f);
}

TEST(Op_head_loss, LargeLogitsStayFinite) {
  for (const float softcap : {0.0f, 30.0f}) {
    Graph g({.record = true});
    const Var x(random_tensor({4, 2}, 1, 100), true), w(random_tensor({100, 2}, 2, 100), true);
    const Var y = head_loss(g, x, w, Targets{1, 2, 3, 4}, {.softcap = softcap, .z_loss = 1e-4f});
    EXPECT_TRUE(std::isfinite(y.value().data<float>()[0]));
    g.backward(y);
    for (const float v : w.grad().span<float>()) EXPECT_TRUE(std::isfinite(v));
  }
}

// The number rule: a token's loss is the same bits alone, in a batch, and for any chunk.
TEST(Op_head_loss, TokenLossDoesNotDependOnBatchOrChunk) {
  const Tensor x = random_tensor({9, 33}, 3), w = random_tensor({301, 33}, 4);
  const Targets targets = {5, 300, -1, 0, 7, 7, -1, 100, 2};
  for (const DType compute : {DType::f32, DType::bf16}) {
    Graph g({.compute = compute});
    Tensor whole, nll;
    head_loss(g, Var(x), Var(w), targets, {.token_nll = &whole});
    for (const std::int64_t chunk : {1, 2, 4}) {
      Graph recording({.record = true, .compute = compute});
      head_loss(recording, Var(x, true), Var(w), targets, {.chunk = chunk, .token_nll = &nll});
      EXPECT_EQ(std::memcmp(whole.raw(), nll.raw(), whole.bytes()), 0) << chunk;
    }
    for (std::int64_t i = 0; i < 9; ++i) {
      const Targets one = {targets[static_cast<std::size_t>(i)]};
      head_loss(g, Var(x.slice(i, i + 1)), Var(w), one, {.token_nll = &nll});
      EXPECT_EQ(nll.data<float>()[0], whole.data<float>()[i]) << i;
    }
  }
}

TEST(Op_head_loss, TokenNllLeavesOutTheZLoss) {
  const Var x(random_tensor({3, 4}, 3)), w(random_tensor({20, 4}, 4));
  Graph g;
  Tensor plain, nll;
  const Var a = head_loss(g, x, w, Targets{1, -1, 3}, {.scale = 0.5f, .token_nll = &plain});
  const Var b =
      head_loss(g, x, w, Targets{1, -1, 3}, {.scale = 0.5f, .z_loss = 1, .token_nll = &nll});
  EXPECT_GT(b.value().data<float>()[0], a.value().data<float>()[0]);
  EXPECT_EQ(std::memcmp(plain.raw(), nll.raw(), plain.bytes()), 0);
  EXPECT_FLOAT_EQ(a.value().data<float>()[0],
                  (plain.data<float>()[0] + plain.data<float>()[2]) / 2);
}

TEST(Op_head_loss, LogitsGiveTheSameLoss) {
  const Tensor x = random_tensor({6, 17}, 5), w = random_tensor({90, 17}, 6);
  const Targets targets = {0, 1, 2, 3, 4, 89};
  for (const float softcap : {0.0f, 2.0f}) {
    Graph g;
    Tensor nll;
    const Var fused =
        head_loss(g, Var(x), Var(w), targets, {.softcap = softcap, .chunk = 4, .token_nll = &nll});
    const Tensor z = head_logits(g, x, w, softcap);
    const Var simple = cross_entropy(g, Var(z), targets);
    EXPECT_EQ(fused.value().data<float>()[0], simple.value().data<float>()[0]);
    const Tensor last = head_logits(g, x.slice(5, 6), w, softcap);
    EXPECT_EQ(std::memcmp(last.raw(), z.slice(5, 6).raw(), last.bytes()), 0);
    const auto packed = cpu::pack_b({w.raw(), DType::f32, 17, true}, 17, 90, cpu::Compute::f32);
    const Tensor same = head_logits(g, x, packed, softcap);
    EXPECT_EQ(std::memcmp(same.raw(), z.raw(), z.bytes()), 0);
  }
}

// Activations in bf16, as the model has them: gradients in their dtype, near those of f32.
TEST(Op_head_loss, Bf16Activations) {
  const Tensor values = random_tensor({12, 16}, 7).to(DType::bf16);
  const Var w(random_tensor({40, 16}, 8).to(DType::bf16).to(DType::f32), true);
  const Var x(values, true), exact(values.to(DType::f32), true);
  const Targets targets = {1, 2, 3, -1, 5, 6, 7, 8, 9, 10, 11, 12};
  Graph g({.record = true, .compute = DType::bf16}), f({.record = true});
  const Var a = head_loss(g, x, w, targets), b = head_loss(f, exact, w, targets);
  EXPECT_NEAR(a.value().data<float>()[0], b.value().data<float>()[0], 1e-4);
  g.backward(a);
  f.backward(b);
  ASSERT_EQ(x.grad().dtype(), DType::bf16);
  for (int i = 0; i < 12 * 16; ++i) {
    EXPECT_NEAR(static_cast<float>(x.grad().data<bf16>()[i]), exact.grad().data<float>()[i], 0.02);
  }
}

TEST(Op_head_loss, TiedWeightGetsBothGradients) {
  Var table(random_tensor({20, 8}, 9), true);
  const Targets targets = {1, 2, 3};
  Graph g({.record = true});
  const Var x(random_tensor({3, 8}, 10), true);
  const Var two = add(g, head_loss(g, x, table, targets), head_loss(g, x, table, targets));
  g.backward(two);
  const Tensor twice = table.grad().clone();
  table.clear_grad();
  Graph h({.record = true});
  h.backward(head_loss(h, x, table, targets));
  for (std::int64_t i = 0; i < twice.numel(); ++i) {
    EXPECT_FLOAT_EQ(twice.data<float>()[i], 2 * table.grad().data<float>()[i]);
  }
}

TEST(Op_head_loss, RefusesBadInput) {
  Graph g;
  const Var x(Tensor::zeros({2, 3}, DType::f32)), w(Tensor::zeros({5, 3}, DType::f32));
  EXPECT_THROW(head_loss(g, x, Var(Tensor::zeros({5, 4}, DType::f32)), Targets{0, 0}), UsageError);
  EXPECT_THROW(head_loss(g, x, w, Targets{0}), UsageError);
  try {
    head_loss(g, x, w, Targets{0, 5});
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_NE(std::string(e.what()).find("targets[1]"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace stepstone::ops
