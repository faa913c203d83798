#include "ops/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/random.h"
#include "core/threads.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

using Segments = std::vector<std::int32_t>;

// Attention of one query, straight from the formula, and its gradients.
struct Reference {
  AttentionConfig c;
  Segments segments;
  Doubles y, dqkv;

  Reference(const AttentionConfig& config, Segments s, const Doubles& qkv, const Doubles* dy)
      : c(config), segments(std::move(s)) {
    if (c.scale == 0) c.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim)));
    cols = (c.heads + 2 * c.kv_heads) * c.head_dim;
    y.assign(static_cast<std::size_t>(segments.back() * c.heads * c.head_dim), 0);
    if (dy) dqkv.assign(qkv.size(), 0);
    for (std::size_t n = 0; n + 1 < segments.size(); ++n) {
      for (std::int32_t i = segments[n]; i < segments[n + 1]; ++i) {
        for (std::int64_t h = 0; h < c.heads; ++h)
          query(qkv, segments[n], segments[n + 1], i, h, dy);
      }
    }
  }

 private:
  void query(const Doubles& qkv, std::int64_t begin, std::int64_t end, std::int64_t i,
             std::int64_t h, const Doubles* dy) {
    const std::int64_t d = c.head_dim, kh = h / (c.heads / c.kv_heads);
    const double* q = qkv.data() + i * cols + h * d;
    Doubles s, slope;
    std::vector<std::int64_t> keys;
    double top = -1e300;
    for (std::int64_t j = begin; j < end; ++j) {
      if (c.causal && j > i) continue;
      if (c.window > 0 && std::abs(i - j) >= c.window) continue;
      const double* k = qkv.data() + j * cols + (c.heads + kh) * d;
      double dot = 0;
      for (std::int64_t t = 0; t < d; ++t) dot += q[t] * k[t];
      dot *= c.scale;
      const double tanh = c.softcap > 0 ? std::tanh(dot / c.softcap) : 0;
      s.push_back(c.softcap > 0 ? c.softcap * tanh : dot);
      slope.push_back(1 - tanh * tanh);
      keys.push_back(j);
      top = std::max(top, s.back());
    }
    double total = 0;
    for (double& x : s) total += x = std::exp(x - top);
    double* out = y.data() + (i * c.heads + h) * d;
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const double* v = qkv.data() + keys[n] * cols + (c.heads + c.kv_heads + kh) * d;
      for (std::int64_t t = 0; t < d; ++t) out[t] += s[n] / total * v[t];
    }
    if (dy) gradient(qkv, i, h, kh, keys, s, slope, total, dy->data() + (i * c.heads + h) * d, out);
  }

  void gradient(const Doubles& qkv, std::int64_t i, std::int64_t h, std::int64_t kh,
                const std::vector<std::int64_t>& keys, const Doubles& s, const Doubles& slope,
                double total, const double* dy, const double* out) {
    const std::int64_t d = c.head_dim;
    double delta = 0;
    for (std::int64_t t = 0; t < d; ++t) delta += dy[t] * out[t];
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const std::int64_t k = keys[n] * cols + (c.heads + kh) * d, v = k + c.kv_heads * d;
      const std::int64_t q = i * cols + h * d;
      const double p = s[n] / total;
      double dp = 0;
      for (std::int64_t t = 0; t < d; ++t) {
        dp += dy[t] * qkv[static_cast<std::size_t>(v + t)];
        dqkv[static_cast<std::size_t>(v + t)] += p * dy[t];
      }
      const double ds = p * (dp - delta) * slope[n] * c.scale;
      for (std::int64_t t = 0; t < d; ++t) {
        dqkv[static_cast<std::size_t>(q + t)] += ds * qkv[static_cast<std::size_t>(k + t)];
        dqkv[static_cast<std::size_t>(k + t)] += ds * qkv[static_cast<std::size_t>(q + t)];
      }
    }
  }

  std::int64_t cols = 0;
};

Shape packed(std::int64_t rows, const AttentionConfig& c) {
  return {rows, (c.heads + 2 * c.kv_heads) * c.head_dim};
}

Tensor random_tensor(Shape shape, std::uint64_t seed, float size = 1) {
  Random random(seed);
  Tensor t = Tensor::empty(shape, DType::f32);
  for (float& x : t.span<float>()) x = size * (2 * random.uniform() - 1);
  return t;
}

Doubles as_doubles(const Tensor& t) {
  const Tensor f = t.to(DType::f32);
  return {f.span<float>().begin(), f.span<float>().end()};
}

void expect_near(const char* what, const Tensor& got, const Doubles& expected, double tolerance) {
  const Doubles values = as_doubles(got);
  ASSERT_EQ(values.size(), expected.size());
  double largest = 1e-2;
  for (double x : expected) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], tolerance * largest) << what << " " << i;
  }
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// y and dqkv for one random input.
struct Result {
  Tensor y, dqkv;
};
Result run(const AttentionConfig& c, const Segments& segments, const Tensor& qkv,
           const Tensor& dy) {
  Graph graph({.record = true, .compute = qkv.dtype()});
  const Var x(qkv, true);
  const Var y = attention(graph, x, segments, c);
  graph.backward(y, dy);
  return {y.value(), x.grad()};
}

// Scores of several units, so that the running maxima move.
constexpr float kSpread = 3;

void check_against_float64(const AttentionConfig& c, const Segments& segments) {
  SCOPED_TRACE(testing::Message() << c.heads << "/" << c.kv_heads << " x " << c.head_dim
                                  << " window " << c.window << " softcap " << c.softcap
                                  << " causal " << c.causal << " rows " << segments.back());
  const Tensor qkv = random_tensor(packed(segments.back(), c), 1, kSpread);
  const Tensor dy = random_tensor({segments.back(), c.heads * c.head_dim}, 2);
  const Doubles dy64 = as_doubles(dy);
  const Reference expected(c, segments, as_doubles(qkv), &dy64);
  const Result got = run(c, segments, qkv, dy);
  expect_near("y", got.y, expected.y, 1e-5);
  expect_near("dqkv", got.dqkv, expected.dqkv, 1e-5);
  const Result half = run(c, segments, qkv.to(DType::bf16), dy.to(DType::bf16));
  const Doubles half_dy = as_doubles(dy.to(DType::bf16));
  const Reference rounded(c, segments, as_doubles(qkv.to(DType::bf16)), &half_dy);
  expect_near("bf16 y", half.y, rounded.y, 5e-3);
  expect_near("bf16 dqkv", half.dqkv, rounded.dqkv, 2e-2);
  const int threads = num_threads();
  for (const int n : {1, 2, 3}) {
    set_num_threads(n);
    const Result again = run(c, segments, qkv, dy);
    EXPECT_TRUE(same_bits(again.y, got.y) && same_bits(again.dqkv, got.dqkv)) << n << " threads";
  }
  set_num_threads(threads);
}

TEST(Op_attention, Case) {
  const auto check = [](const AttentionConfig& c, const Segments& segments) {
    check_op({
        .inputs = {{packed(segments.back(), c), true, -2, 2}},
        .op = [=](Graph& g,
                  const std::vector<Var>& in) { return attention(g, in[0], segments, c); },
        .reference =
            [=](const std::vector<Doubles>& in) {
              return Reference(c, segments, in[0], nullptr).y;
            },
    });
  };
  check({.heads = 2, .kv_heads = 2, .head_dim = 8}, {0, 13});
  check({.heads = 4, .kv_heads = 2, .head_dim = 16}, {0, 1, 1, 9});
  check({.heads = 2, .kv_heads = 1, .head_dim = 10, .window = 4}, {0, 11});
  check({.heads = 1, .kv_heads = 1, .head_dim = 32, .softcap = 1.5}, {0, 7, 12});
  check({.heads = 1, .kv_heads = 1, .head_dim = 16, .scale = 0.7f, .causal = false}, {0, 10});
  check({.heads = 1, .kv_heads = 1, .head_dim = 16, .window = 3, .causal = false}, {0, 10});
}

TEST(Op_attention, LongAgainstFloat64) {
  check_against_float64({.heads = 2, .kv_heads = 2, .head_dim = 64}, {0, 256});
  check_against_float64({.heads = 3, .kv_heads = 1, .head_dim = 32}, {0, 64, 65, 193, 320});
  check_against_float64({.heads = 2, .kv_heads = 1, .head_dim = 80}, {0, 150});
  check_against_float64({.heads = 2, .kv_heads = 2, .head_dim = 128}, {0, 63, 130});
  check_against_float64({.heads = 4, .kv_heads = 2, .head_dim = 16, .window = 70}, {0, 300, 333});
  check_against_float64({.heads = 1, .kv_heads = 1, .head_dim = 24, .window = 1}, {0, 130});
  check_against_float64({.heads = 2, .kv_heads = 1, .head_dim = 16, .softcap = 5}, {0, 140});
  check_against_float64({.heads = 2, .kv_heads = 1, .head_dim = 16, .causal = false},
                        {0, 140, 200});
  check_against_float64({.heads = 2, .kv_heads = 1, .head_dim = 16, .window = 66, .causal = false},
                        {0, 250});
}

TEST(Op_attention, ARowDoesNotDependOnTheBatch) {
  const AttentionConfig c{.heads = 4, .kv_heads = 2, .head_dim = 32, .window = 90};
  const Tensor qkv = random_tensor(packed(400, c), 3, kSpread);
  const Tensor dy = random_tensor({400, c.heads * c.head_dim}, 4);
  const Segments segments = {0, 37, 38, 250, 400};
  const Result all = run(c, segments, qkv, dy);
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    const std::int32_t begin = segments[i], end = segments[i + 1];
    const Result alone = run(c, {0, end - begin}, qkv.slice(begin, end), dy.slice(begin, end));
    EXPECT_TRUE(same_bits(alone.y, all.y.slice(begin, end))) << i;
    EXPECT_TRUE(same_bits(alone.dqkv, all.dqkv.slice(begin, end))) << i;
  }
  // The past does not depend on the future either.
  Graph graph;
  const Var first = attention(graph, Var(qkv.slice(38, 200)), Segments{0, 162}, c);
  EXPECT_TRUE(same_bits(first.value(), all.y.slice(38, 200)));
}

TEST(Op_attention, HugeAndVanishingScores) {
  const AttentionConfig c{.heads = 1, .kv_heads = 1, .head_dim = 16};
  const Tensor qkv = random_tensor(packed(200, c), 5, 60);
  const Tensor dy = random_tensor({200, 16}, 6);
  const Doubles dy64 = as_doubles(dy);
  const Reference expected(c, {0, 200}, as_doubles(qkv), &dy64);
  const Result got = run(c, {0, 200}, qkv, dy);
  expect_near("y", got.y, expected.y, 1e-3);
  expect_near("dqkv", got.dqkv, expected.dqkv, 1e-3);
}

TEST(Op_attention, NotANumberStaysVisible) {
  const AttentionConfig c{.heads = 1, .kv_heads = 1, .head_dim = 16};
  const Tensor qkv = random_tensor(packed(80, c), 7);
  qkv.data<float>()[70 * 48 + 16] = NAN;  // a key
  Graph graph;
  const Tensor y = attention(graph, Var(qkv), Segments{0, 80}, c).value();
  EXPECT_FALSE(std::isnan(y.data<float>()[69 * 16]));
  for (int i = 70; i < 80; ++i) EXPECT_TRUE(std::isnan(y.data<float>()[i * 16])) << i;
}

TEST(Op_attention, CachedEqualsWhole) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const AttentionConfig& c :
         {AttentionConfig{.heads = 4, .kv_heads = 2, .head_dim = 64},
          AttentionConfig{.heads = 3, .kv_heads = 3, .head_dim = 20, .window = 75},
          AttentionConfig{.heads = 2, .kv_heads = 1, .head_dim = 16, .softcap = 4}}) {
      const std::int64_t rows = 210;
      const Tensor qkv = random_tensor(packed(rows, c), 8, kSpread).to(dtype);
      Graph graph({.compute = dtype});
      const Tensor whole = attention(graph, Var(qkv), Segments{0, 210}, c).value();
      for (const std::int64_t piece : {210, 100, 64, 17, 7, 1}) {
        KvCacheLayer cache(rows, c.kv_heads, c.head_dim, dtype);
        for (std::int64_t at = 0; at < rows; at += piece) {
          const std::int64_t end = std::min(rows, at + piece);
          const Tensor y = attention_cached(graph, qkv.slice(at, end), cache, at, c);
          ASSERT_TRUE(same_bits(y, whole.slice(at, end)))
              << name_of(dtype) << " head_dim " << c.head_dim << " in pieces of " << piece << " at "
              << at;
        }
      }
    }
  }
}

// What is left of 32 or fewer elements of a position in a cache.
void round_as(BlockType type, std::span<float> part) {
  float top = 0;
  for (const float x : part) top = std::max(top, std::abs(x));
  for (float& x : part) {
    if (type == BlockType::bf16) x = static_cast<float>(bf16(x));
    if (type == BlockType::f16) x = static_cast<float>(static_cast<_Float16>(x));
    if (type == BlockType::q8_0) x = std::nearbyint(x * (1 / (top / 127))) * (top / 127);
  }
}

Tensor rounded_as(const KvTypes& types, const Tensor& qkv, const AttentionConfig& c) {
  const Tensor result = qkv.clone();
  const std::int64_t cols = qkv.dim(1);
  for (std::int64_t h = c.heads; h < c.heads + 2 * c.kv_heads; ++h) {
    const BlockType type = h < c.heads + c.kv_heads ? types.k : types.v;
    for (std::int64_t row = 0; row < qkv.dim(0); ++row) {
      for (std::int64_t j = 0; j < c.head_dim; j += 32) {
        const auto n = static_cast<std::size_t>(std::min<std::int64_t>(32, c.head_dim - j));
        round_as(type, {result.data<float>() + row * cols + h * c.head_dim + j, n});
      }
    }
  }
  return result;
}

// Mean difference, relative to the mean size of b.
double difference(const Tensor& a, const Tensor& b) {
  const Doubles x = as_doubles(a), y = as_doubles(b);
  double sum = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::abs(x[i] - y[i]), size += std::abs(y[i]);
  return sum / size;
}

TEST(Op_attention, ACacheOfAnotherTypeIsReadAsItRounds) {
  constexpr BlockType kTypes[] = {BlockType::f32, BlockType::bf16, BlockType::f16, BlockType::q8_0};
  constexpr double kMost[] = {0, 8e-3, 1e-3, 1.5e-2};  // difference
  const int threads = num_threads();
  for (const AttentionConfig& c :
       {AttentionConfig{.heads = 4, .kv_heads = 2, .head_dim = 64},
        AttentionConfig{.heads = 1, .kv_heads = 1, .head_dim = 33, .window = 75},
        AttentionConfig{.heads = 8, .kv_heads = 1, .head_dim = 80, .softcap = 4}}) {
    const std::int32_t rows = 150;
    const Tensor qkv = random_tensor(packed(rows, c), 11, kSpread);
    Graph graph;
    const auto whole = [&](const Tensor& x) {
      return attention(graph, Var(x), Segments{0, rows}, c).value();
    };
    const Tensor exact = whole(qkv);
    for (int pair = 0; pair < 16; ++pair) {
      const KvTypes types(kTypes[pair / 4], kTypes[pair % 4]);
      SCOPED_TRACE(testing::Message() << name_of(types.k) << " keys, " << name_of(types.v)
                                      << " values of " << c.head_dim);
      const Tensor expected = whole(rounded_as(types, qkv, c));
      const double error = difference(expected, exact);
      EXPECT_EQ(error > 0, pair > 0);
      EXPECT_LE(error, kMost[pair / 4] + kMost[pair % 4]);
      for (const std::int64_t piece : {150, 64, 7, 1}) {
        set_num_threads(piece % 2 == 0 ? 2 : 1);
        KvCacheLayer cache(rows, c.kv_heads, c.head_dim, types);
        for (std::int64_t at = 0; at < rows; at += piece) {
          const std::int64_t end = std::min<std::int64_t>(rows, at + piece);
          const Tensor y = attention_cached(graph, qkv.slice(at, end), cache, at, c);
          ASSERT_TRUE(same_bits(y, expected.slice(at, end)))
              << "pieces of " << piece << " at " << at;
        }
      }
    }
  }
  set_num_threads(threads);
}

TEST(Op_attention, ScaledCacheOfOddNumbers) {
  const AttentionConfig c{.heads = 1, .kv_heads = 1, .head_dim = 16};
  const Tensor qkv = random_tensor(packed(6, c), 12);
  float* x = qkv.data<float>();
  std::fill_n(x + 0 * 48 + 16, 32, 0.0f);    // zeros
  std::fill_n(x + 1 * 48 + 16, 32, 1e-40f);  // below what a scale can say
  std::fill_n(x + 2 * 48 + 32, 16, 3e38f);
  x[4 * 48 + 20] = NAN;
  x[5 * 48 + 24] = INFINITY;
  KvCacheLayer cache(6, 1, 16, {BlockType::q8_0, BlockType::q8_0});
  Graph graph;
  const Tensor y = attention_cached(graph, qkv, cache, 0, c);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(std::isfinite(y.data<float>()[i * 16]), i < 4) << i;
  EXPECT_EQ(y.data<float>()[0], 0);
  EXPECT_EQ(y.data<float>()[16], 0);
  EXPECT_GT(y.data<float>()[32], 1e37f);
}

TEST(Op_attention, CacheSizes) {
  const auto bytes = [](BlockType type, std::int64_t head_dim) {
    return KvCacheLayer(1, 1, head_dim, {type, type}).bytes();
  };
  EXPECT_EQ(bytes(BlockType::f32, 64), 64u * 128 * 4);
  EXPECT_EQ(bytes(BlockType::f16, 64), 64u * 128 * 2);
  EXPECT_EQ(bytes(BlockType::q8_0, 64), 64u * 128 * 9 / 8);
  EXPECT_EQ(bytes(BlockType::q8_0, 33), 64u * (33 + 48 + 2 * 2 * 4));
  EXPECT_EQ(KvCacheLayer(65, 3, 20, DType::bf16).bytes(),
            2u * KvCacheLayer::block_bytes(3, 20, DType::bf16));
}

TEST(Op_attention, CachedBatchAndRewind) {
  const AttentionConfig c{.heads = 2, .kv_heads = 1, .head_dim = 16};
  const Tensor qkv = random_tensor(packed(150, c), 9, kSpread);
  const Segments documents = {0, 90, 150};
  Graph graph;
  const Tensor whole = attention(graph, Var(qkv), documents, c).value();
  KvCacheLayer a(90, 1, 16, DType::f32), b(60, 1, 16, DType::f32);
  // Positions that are taken back and written again leave no trace.
  attention_cached(graph, random_tensor(packed(80, c), 10, 90), a, 0, c);
  attention_cached(graph, qkv.slice(0, 70), a, 0, c);
  attention_cached(graph, qkv.slice(90, 149), b, 0, c);
  Tensor rest = Tensor::empty(packed(21, c), DType::f32);
  rest.slice(0, 20).copy_from(qkv.slice(70, 90));
  rest.slice(20, 21).copy_from(qkv.slice(149, 150));
  const CachedSequence sequences[] = {{&a, 70}, {&b, 59}};
  const Tensor y = attention_cached(graph, rest, Segments{0, 20, 21}, sequences, c);
  EXPECT_TRUE(same_bits(y.slice(0, 20), whole.slice(70, 90)));
  EXPECT_TRUE(same_bits(y.slice(20, 21), whole.slice(149, 150)));
}

TEST(Op_attention, RefusesWhatCannotBe) {
  Graph g;
  const AttentionConfig good{.heads = 2, .kv_heads = 1, .head_dim = 8};
  const Var qkv(Tensor::zeros(packed(6, good), DType::f32));
  EXPECT_NO_THROW(attention(g, qkv, Segments{0, 6}, good));
  for (const Segments& bad : {Segments{}, {0}, {0, 5}, {1, 6}, {0, 7}, {0, 4, 3, 6}}) {
    EXPECT_THROW(attention(g, qkv, bad, good), UsageError);
  }
  const auto refused = [&](auto change) {
    AttentionConfig c = good;
    change(c);
    EXPECT_THROW(attention(g, qkv, Segments{0, 6}, c), UsageError);
  };
  refused([](AttentionConfig& c) { c.heads = 3; });
  refused([](AttentionConfig& c) { c.kv_heads = 0; });
  refused([](AttentionConfig& c) { c.heads = 3, c.kv_heads = 2; });
  refused([](AttentionConfig& c) { c.head_dim = 0; });
  refused([](AttentionConfig& c) { c.window = -1; });
  refused([](AttentionConfig& c) { c.scale = -1; });
  refused([](AttentionConfig& c) { c.softcap = NAN; });

  KvCacheLayer cache(8, 1, 8, DType::f32);
  const Tensor x = qkv.value();
  EXPECT_NO_THROW(attention_cached(g, x, cache, 2, good));
  EXPECT_THROW(attention_cached(g, x, cache, 3, good), UsageError);
  EXPECT_THROW(attention_cached(g, x, cache, -1, good), UsageError);
  KvCacheLayer other(8, 2, 8, DType::f32);
  EXPECT_THROW(attention_cached(g, x, other, 0, good), UsageError);
  EXPECT_THROW(KvCacheLayer(0, 1, 8, DType::f32), UsageError);
  EXPECT_THROW(KvCacheLayer(8, 1, 8, DType::i32), UsageError);
  EXPECT_THROW(KvCacheLayer(8, 1, 8, {BlockType::f32, BlockType::q4_0}), UsageError);
  KvCacheLayer half(8, 1, 8, DType::bf16);
  const CachedSequence sequences[] = {{&cache, 0}, {&half, 0}};
  EXPECT_THROW(attention_cached(g, x, Segments{0, 3, 6}, sequences, good), UsageError);
}

}  // namespace
}  // namespace stepstone::ops
