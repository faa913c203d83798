// Products with quantised weights against double arithmetic on the dequantised ones, and their
// number rule bit for bit, on every instruction set that this machine has.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/cpu/gemm.h"
#include "core/error.h"
#include "core/random.h"
#include "quant/dequantize.h"
#include "quant/quantize.h"

namespace stepstone::cpu {
namespace {

constexpr BlockType kTypes[] = {BlockType::q8_0,  BlockType::q4_0, BlockType::q4_1,
                                BlockType::q5_0,  BlockType::q5_1, BlockType::iq4_nl,
                                BlockType::mxfp4, BlockType::q2_k, BlockType::q3_k,
                                BlockType::q4_k,  BlockType::q5_k, BlockType::q6_k};

class EveryIsa : public testing::Test {
 protected:
  void TearDown() override { set_isa(best_); }
  Isa best_ = isa();
};

std::vector<float> normals(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

// A weight [n, k] as a file holds it, and its values.
struct Weight {
  Weight(BlockType t, std::int64_t rows, std::int64_t k, std::uint64_t seed)
      : type(t), n(rows), values(static_cast<std::size_t>(rows * k)) {
    blocks.resize(bytes_of(t, static_cast<std::uint64_t>(rows * k)));
    quantize(t, normals(rows * k, seed), blocks);
    dequantize(t, blocks, values);
  }
  BlockRows rows() const { return {type, blocks, n}; }

  BlockType type;
  std::int64_t n;
  std::vector<std::byte> blocks;
  std::vector<float> values;
};

// A row rounded to int8: under a scale for every 32, or under one scale that every 32 halve as
// often as they can, at most 12 times.
std::vector<double> rounded(const float* row, std::int64_t k, bool by_block) {
  const auto largest = [](const float* from, std::int64_t count) {
    float most = 0;
    for (std::int64_t j = 0; j < count; ++j) most = std::max(most, std::abs(from[j]));
    return most;
  };
  std::vector<double> out;
  for (std::int64_t block = 0; block < k; block += 32) {
    const float most = largest(row + block, 32);
    float power = 1;
    float scale = most / 127.0f;
    if (!by_block) {
      const float of_row = largest(row, k);
      while (power < 4096 && most * power * 2 <= of_row) power *= 2;
      scale = of_row / 127.0f;
    }
    for (int j = 0; j < 32; ++j) {
      const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
      out.push_back(double{scale} / power * std::nearbyint(row[block + j] * power * inverse));
    }
  }
  return out;
}

std::vector<float> product(const std::vector<float>& a, std::int64_t m, std::int64_t k,
                           const PackedMatrix& b, const float* bias = nullptr) {
  std::vector<float> c(static_cast<std::size_t>(m * b.n()), -7.0f);
  gemm({.m = m,
        .n = b.n(),
        .k = k,
        .a = {a.data(), DType::f32, k, false},
        .b = {},
        .c = c.data(),
        .ldc = b.n(),
        .bias = bias,
        .compute = Compute::int8},
       b);
  return c;
}

TEST_F(EveryIsa, EqualsTheDequantisedProductForEveryTypeAndHeight) {
  constexpr std::int64_t k = 512, n = 77;
  std::vector<std::vector<float>> first;  // results of the first instruction set
  for (const Isa isa : supported_isas()) {
    set_isa(isa);
    std::size_t at = 0;
    for (const BlockType type : kTypes) {
      const Weight w(type, n, k, 5);
      const PackedMatrix b = pack_blocks(std::vector{w.rows()}, k);
      EXPECT_EQ(b.n(), n);
      for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 13, 50}) {
        const std::vector<float> a = normals(m * k, 9);
        const std::vector<float> bias = normals(n, 11);
        const std::vector<float> c = product(a, m, k, b, m % 2 ? nullptr : bias.data());
        for (std::int64_t i = 0; i < m; ++i) {
          const std::vector<double> row = rounded(a.data() + i * k, k, type == BlockType::q8_0);
          for (std::int64_t j = 0; j < n; ++j) {
            double sum = 0, size = 0;
            for (std::int64_t x = 0; x < k; ++x) {
              const double term =
                  row[static_cast<std::size_t>(x)] * w.values[static_cast<std::size_t>(j * k + x)];
              sum += term;
              size += std::abs(term);
            }
            if (m % 2 == 0) sum += bias[static_cast<std::size_t>(j)];
            // Types with super-blocks round the sums under each scale to 16 bits.
            const double most = info_of(type).elements == 256 ? 5e-4 : 3e-6;
            ASSERT_NEAR(c[static_cast<std::size_t>(i * n + j)], sum, most * size + 1e-6)
                << name_of(isa) << " " << name_of(type) << " m=" << m << " at " << i << "," << j;
          }
        }
        if (isa == supported_isas().front()) {
          first.push_back(c);
        } else {
          ASSERT_EQ(0, std::memcmp(first[at].data(), c.data(), c.size() * 4))
              << name_of(isa) << " " << name_of(type) << " m=" << m;
        }
        ++at;
      }
    }
  }
}

TEST(BlockGemm, RoundingSumsTo16BitsIsNoiseAndNoBias) {
  constexpr std::int64_t k = 4096, n = 64, m = 8;
  const std::vector<float> a = normals(m * k, 9);
  for (const BlockType type :
       {BlockType::q2_k, BlockType::q3_k, BlockType::q4_k, BlockType::q5_k, BlockType::q6_k}) {
    const Weight w(type, n, k, 5);
    const std::vector<float> c = product(a, m, k, pack_blocks(std::vector{w.rows()}, k));
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      const std::vector<double> row = rounded(a.data() + i * k, k, false);
      for (std::int64_t j = 0; j < n; ++j) {
        const double exact =
            std::inner_product(row.begin(), row.end(), w.values.begin() + j * k, 0.0);
        const double error = c[static_cast<std::size_t>(i * n + j)] - exact;
        mean += error / (m * n);
        square += error * error / (m * n);
      }
    }
    EXPECT_LT(std::abs(mean), 0.3 * std::sqrt(square)) << name_of(type);
  }
}

TEST_F(EveryIsa, RowHasTheSameBitsInAnyCompany) {
  constexpr std::int64_t k = 768, n = 96, m = 700;  // several blocks of rows
  for (const Isa isa : supported_isas()) {
    set_isa(isa);
    for (const BlockType type : {BlockType::q4_k, BlockType::q6_k, BlockType::q8_0}) {
      const Weight w(type, n, k, 3);
      const PackedMatrix b = pack_blocks(std::vector{w.rows()}, k);
      const std::vector<float> a = normals(m * k, 4);
      const std::vector<float> all = product(a, m, k, b);
      for (const std::int64_t i : {0, 1, 5, 6, 341, 342, 699}) {
        const std::vector<float> row(a.begin() + i * k, a.begin() + (i + 1) * k);
        const std::vector<float> alone = product(row, 1, k, b);
        EXPECT_EQ(0, std::memcmp(alone.data(), all.data() + i * n, n * 4)) << i;
      }
    }
  }
}

TEST(BlockGemm, PartsOfSeveralTypesInAnyOrder) {
  constexpr std::int64_t k = 256;
  const Weight q(BlockType::q4_k, 40, k, 1), v(BlockType::q6_k, 33, k, 2),
      w(BlockType::q8_0, 5, k, 3);
  std::vector<std::int64_t> order(40);
  std::iota(order.rbegin(), order.rend(), 0);
  BlockRows reversed = q.rows();
  reversed.order = order;
  const PackedMatrix b = pack_blocks(std::vector{reversed, v.rows(), w.rows()}, k);
  ASSERT_EQ(b.n(), 78);
  for (const std::int64_t m : {1, 9}) {
    const std::vector<float> a = normals(m * k, 8);
    const std::vector<float> c = product(a, m, k, b);
    const auto one = [&](const Weight& part) {
      return product(a, m, k, pack_blocks(std::vector{part.rows()}, k));
    };
    const auto cq = one(q), cv = one(v), cw = one(w);
    for (std::int64_t i = 0; i < m; ++i) {
      for (int j = 0; j < 40; ++j) EXPECT_EQ(c[i * 78 + j], cq[i * 40 + 39 - j]);
      for (int j = 0; j < 33; ++j) EXPECT_EQ(c[i * 78 + 40 + j], cv[i * 33 + j]);
      for (int j = 0; j < 5; ++j) EXPECT_EQ(c[i * 78 + 73 + j], cw[i * 5 + j]);
    }
  }
}

TEST(BlockGemm, BlocksWithAnOwnerArePackedByTheSecondProduct) {
  constexpr std::int64_t k = 256, n = 78;
  const Weight q(BlockType::q4_k, 40, k, 1), w(BlockType::q8_0, n - 40, k, 3);
  std::vector<std::int64_t> order(40);
  std::iota(order.rbegin(), order.rend(), 0);
  BlockRows reversed = q.rows();
  reversed.order = order;
  const std::vector parts = {reversed, w.rows()};
  const PackedMatrix eager = pack_blocks(parts, k);
  for (const std::int64_t m : {1, 9, 100}) {
    int packed = 0;
    const PackedMatrix lazy = pack_blocks(parts, k, {std::make_shared<int>(), [&] { ++packed; }});
    EXPECT_EQ(lazy.bytes(), eager.bytes());
    const std::vector<float> a = normals(m * k, 8), expected = product(a, m, k, eager);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(packed, i > 1 ? 1 : 0);
      EXPECT_EQ(product(a, m, k, lazy), expected) << "product " << i << " of " << m << " rows";
    }
  }
  int packed = 0;
  const PackedMatrix lazy = pack_blocks(parts, k, {std::make_shared<int>(), [&] { ++packed; }});
  lazy.pack_all();
  EXPECT_EQ(packed, 1);
  const std::vector<float> a = normals(k, 8);
  EXPECT_EQ(product(a, 1, k, lazy), product(a, 1, k, eager));
}

TEST(BlockGemm, ThreadsShareBlocksThatAreNotPackedYet) {
  constexpr std::int64_t k = 512, n = 640;
  const Weight w(BlockType::q6_k, n, k, 3);
  const std::vector<float> a = normals(k, 8);
  const std::vector<float> expected = product(a, 1, k, pack_blocks(std::vector{w.rows()}, k));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> packed = 0;
    const PackedMatrix lazy =
        pack_blocks(std::vector{w.rows()}, k, {std::make_shared<int>(), [&] { ++packed; }});
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 3; ++i) wrong += product(a, 1, k, lazy) != expected;
      });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(packed, 1);
  }
}

TEST(BlockGemm, NotANumberSpoilsItsRowOnlyAndTinyValuesNothing) {
  constexpr std::int64_t k = 64, n = 32, m = 3;
  const Weight w(BlockType::q8_0, n, k, 1);
  const PackedMatrix b = pack_blocks(std::vector{w.rows()}, k);
  std::vector<float> a = normals(m * k, 2);
  const std::vector<float> clean = product(a, m, k, b);
  a[k + 40] = std::numeric_limits<float>::infinity();
  const std::vector<float> c = product(a, m, k, b);
  for (std::int64_t j = 0; j < n; ++j) {
    EXPECT_EQ(c[j], clean[j]);
    EXPECT_TRUE(std::isnan(c[n + j]));
    EXPECT_EQ(c[2 * n + j], clean[2 * n + j]);
  }
  for (float& x : a) x = 1e-42f;
  for (const float x : product(a, m, k, b)) EXPECT_EQ(x, 0.0f);
}

TEST(BlockGemm, RefusesWhatCannotBeMeant) {
  const Weight w(BlockType::q4_k, 4, 256, 1);
  EXPECT_THROW(pack_blocks(std::vector{w.rows()}, 128), UsageError);
  BlockRows short_of = w.rows();
  short_of.rows = 5;
  EXPECT_THROW(pack_blocks(std::vector{short_of}, 256), UsageError);
  const std::vector<std::int64_t> outside = {0, 1, 2, 4};
  BlockRows wrong = w.rows();
  wrong.order = outside;
  EXPECT_THROW(pack_blocks(std::vector{wrong}, 256), UsageError);
  EXPECT_THROW(pack_blocks(std::vector{BlockRows{BlockType::f16, w.blocks, 4}}, 256), UsageError);
}

}  // namespace
}  // namespace stepstone::cpu
