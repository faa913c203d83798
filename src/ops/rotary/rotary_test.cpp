#include "ops/rotary/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

using Kind = RopeScaling::Kind;
using Positions = std::vector<std::int32_t>;

// Each pair is turned as a complex number, straight from the definition.
void rotate_head(double* x, std::int32_t position, const RotaryConfig& c) {
  if (c.rotary_dim == 0) return;
  const auto f = rope_frequencies({c.rotary_dim, c.theta, c.scaling});
  for (std::int64_t i = 0; i < c.rotary_dim / 2; ++i) {
    const std::int64_t a = c.interleaved ? 2 * i : i;
    const std::int64_t b = c.interleaved ? 2 * i + 1 : i + c.rotary_dim / 2;
    const double angle = position * double{f.inverse[static_cast<std::size_t>(i)]};
    const double cos = std::cos(angle) * f.attention_factor;
    const double sin = std::sin(angle) * f.attention_factor;
    const double xa = x[a], xb = x[b];
    x[a] = xa * cos - xb * sin;
    x[b] = xb * cos + xa * sin;
  }
}

void norm_head(double* x, const double* w, const RotaryConfig& c) {
  double squares = 0;
  for (std::int64_t i = 0; i < c.head_dim; ++i) squares += x[i] * x[i];
  const double s = 1 / std::sqrt(squares / static_cast<double>(c.head_dim) + double{c.norm_eps});
  for (std::int64_t i = 0; i < c.head_dim; ++i) x[i] *= s * w[i];
}

Doubles reference(const Doubles& qkv, const Doubles* q_norm, const Doubles* k_norm,
                  const Positions& positions, const RotaryConfig& c) {
  Doubles y = qkv;
  const std::int64_t cols = (c.heads + 2 * c.kv_heads) * c.head_dim;
  for (std::size_t t = 0; t < positions.size(); ++t) {
    for (std::int64_t h = 0; h < c.heads + c.kv_heads; ++h) {
      double* head = y.data() + static_cast<std::int64_t>(t) * cols + h * c.head_dim;
      const Doubles* w = h < c.heads ? q_norm : k_norm;
      if (w) norm_head(head, w->data(), c);
      rotate_head(head, positions[t], c);
    }
  }
  return y;
}

Shape packed(const Positions& positions, const RotaryConfig& c) {
  return {static_cast<std::int64_t>(positions.size()), (c.heads + 2 * c.kv_heads) * c.head_dim};
}

void check_rotation(const RotaryConfig& c, const Positions& positions) {
  check_op({
      .inputs = {{packed(positions, c)}},
      .op = [=](Graph& g, const std::vector<Var>& in) { return rotary(g, in[0], positions, c); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            return reference(in[0], nullptr, nullptr, positions, c);
          },
  });
}

TEST(Op_rotary, HeadsAndWidths) {
  const Positions positions = {0, 1, 2, 7, 0, 300};
  for (const bool interleaved : {false, true}) {
    for (const auto& [head_dim, rotary_dim] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {16, 16}, {80, 80}, {64, 24}, {10, 6}}) {
      check_rotation({.heads = 4,
                      .kv_heads = 2,
                      .head_dim = head_dim,
                      .rotary_dim = rotary_dim,
                      .interleaved = interleaved},
                     positions);
    }
  }
}

TEST(Op_rotary, Scaling) {
  RotaryConfig c{.heads = 2, .kv_heads = 1, .head_dim = 32, .rotary_dim = 32, .theta = 5e5};
  c.scaling = {.kind = Kind::yarn, .factor = 4, .original_max_position = 64};
  check_rotation(c, {3, 100, 250});
}

TEST(Op_rotary, QkNorm) {
  const Positions positions = {0, 5, 6, 90};
  const RotaryConfig c{.heads = 4, .kv_heads = 2, .head_dim = 32, .rotary_dim = 32};
  check_op({
      .inputs = {{packed(positions, c), true, 0.2, 2}, {{32}}, {{32}}},
      .op =
          [=](Graph& g, const std::vector<Var>& in) {
            return rotary(g, in[0], positions, c, in[1], in[2]);
          },
      .reference =
          [=](const std::vector<Doubles>& in) {
            return reference(in[0], &in[1], &in[2], positions, c);
          },
  });
}

TEST(Op_rotary, KeyNormAloneWithoutRotation) {
  const Positions positions = {4, 4, 4};
  const RotaryConfig c{.heads = 2, .kv_heads = 2, .head_dim = 20, .norm_eps = 1e-5f};
  check_op({
      .inputs = {{packed(positions, c), true, 0.2, 2}, {{20}}},
      .op = [=](Graph& g,
                const std::vector<Var>& in) { return rotary(g, in[0], positions, c, {}, in[1]); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            return reference(in[0], nullptr, &in[1], positions, c);
          },
  });
}

TEST(Op_rotary, RefusesWhatCannotBe) {
  Graph g;
  const Var qkv(Tensor::zeros({2, 24}, DType::f32));
  const Positions positions = {0, 1};
  const RotaryConfig good{.heads = 1, .kv_heads = 1, .head_dim = 8, .rotary_dim = 8};
  EXPECT_NO_THROW(rotary(g, qkv, positions, good));
  const auto refused = [&](auto change) {
    RotaryConfig c = good;
    change(c);
    EXPECT_THROW(rotary(g, qkv, positions, c), UsageError);
  };
  refused([](RotaryConfig& c) { c.head_dim = 7; });
  refused([](RotaryConfig& c) { c.heads = 0; });
  refused([](RotaryConfig& c) { c.kv_heads = 2; });
  refused([](RotaryConfig& c) { c.rotary_dim = 10; });
  refused([](RotaryConfig& c) { c.rotary_dim = 3; });
  refused([](RotaryConfig& c) { c.theta = 0; });
  refused([](RotaryConfig& c) { c.scaling = {.kind = Kind::linear, .factor = 0}; });
  refused([](RotaryConfig& c) { c.scaling = {.kind = Kind::llama3, .factor = 8}; });
  EXPECT_THROW(rotary(g, qkv, Positions{0}, good), UsageError);
  EXPECT_THROW(rotary(g, qkv, Positions{0, -1}, good), UsageError);
  EXPECT_THROW(rotary(g, qkv, Positions{0, 1 << 30}, good), UsageError);
  EXPECT_THROW(rotary(g, qkv, positions, good, Var(Tensor::zeros({4}, DType::f32))), UsageError);
}

// From transformers 5.23 (ROPE_INIT_FUNCTIONS), rotated width 16.
TEST(Op_rotary, FrequenciesOfTransformers) {
  struct Golden {
    RopeParameters parameters;
    double attention_factor;
    std::vector<float> inverse;
  };
  const std::vector<Golden> goldens = {
      {{16, 10000, {.kind = Kind::linear, .factor = 2.5}},
       1,
       {0.400000006f, 0.1264911f, 0.0399999991f, 0.0126491114f, 0.00399999972f, 0.00126491114f,
        0.000400000019f, 0.000126491112f}},
      {{16,
        10000,
        {.kind = Kind::dynamic_ntk, .factor = 2, .original_max_position = 2048, .length = 5000}},
       1,
       {1.0f, 0.260517091f, 0.0678691566f, 0.0176810753f, 0.00460622227f, 0.00119999971f,
        0.000312620425f, 8.14429659e-05f}},
      {{16,
        10000,
        {.kind = Kind::dynamic_ntk, .factor = 2, .original_max_position = 2048, .length = 100}},
       1,
       {1.0f, 0.316227764f, 0.100000001f, 0.0316227786f, 0.00999999978f, 0.00316227786f,
        0.00100000005f, 0.000316227786f}},
      {{16, 500000, {.kind = Kind::llama3, .factor = 8, .original_max_position = 8192}},
       1,
       {1.0f, 0.193922758f, 0.0376060307f, 0.00729266508f, 0.000524846022f, 3.42810235e-05f,
        6.64786967e-06f, 1.28917316e-06f}},
      {{16,
        10000,
        {.kind = Kind::llama3,
         .factor = 32,
         .original_max_position = 512,
         .low_freq_factor = 2,
         .high_freq_factor = 16}},
       1,
       {1.0f, 0.316227764f, 0.0456720367f, 0.00225047767f, 0.000312499993f, 9.88211832e-05f,
        3.12500015e-05f, 9.88211832e-06f}},
      {{16, 1000000, {.kind = Kind::yarn, .factor = 4, .original_max_position = 32768}},
       1.13862944,
       {1.0f, 0.177827939f, 0.0316227786f, 0.00421755994f, 0.000500000024f, 4.44569851e-05f,
        7.90569356e-06f, 1.40585337e-06f}},
      {{16,
        10000,
        {.kind = Kind::yarn,
         .factor = 40,
         .original_max_position = 4096,
         .beta_fast = 16,
         .beta_slow = 2,
         .attention_factor = 1.25,
         .truncate = false}},
       1.25,
       {1.0f, 0.316227764f, 0.100000001f, 0.0316227786f, 0.00579010462f, 0.000123952457f,
        2.49999994e-05f, 7.90569447e-06f}},
  };
  for (const Golden& golden : goldens) {
    const auto f = rope_frequencies(golden.parameters);
    EXPECT_NEAR(f.attention_factor, golden.attention_factor, 1e-6);
    ASSERT_EQ(f.inverse.size(), golden.inverse.size());
    for (std::size_t i = 0; i < f.inverse.size(); ++i) {
      EXPECT_NEAR(f.inverse[i] / golden.inverse[i], 1, 1e-6) << i;
    }
  }
}

TEST(Op_rotary, TablesGrowWithoutChangingAndFromManyThreads) {
  const RopeParameters p{.rotary_dim = 16, .theta = 12345};
  const auto small = rope_table(p, 10);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (std::int64_t n = 1; n < 2000; n += 97 + i) {
        const auto table = rope_table(p, n);
        EXPECT_GE(table->cos.dim(0), n);
        EXPECT_EQ(std::memcmp(table->sin.raw(), small->sin.raw(), 10 * 8 * sizeof(float)), 0);
      }
    });
  }
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace stepstone::ops
