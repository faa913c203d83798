// GEMM against a double reference, and its number rule bit for bit, on every instruction set that
// this machine has.
#include "backend/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cpu/isa.h"
#include "core/error.h"
#include "core/random.h"
#include "core/threads.h"

namespace stepstone::cpu {
namespace {

// A matrix with its storage: rows × cols elements, `pad` unused elements behind every row.
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t cols, DType dtype, bool transposed, std::int64_t pad,
         Random& random)
      : rows_(rows), cols_(cols), dtype_(dtype), transposed_(transposed) {
    ld_ = (transposed ? rows : cols) + pad;
    const std::int64_t size = (transposed ? cols : rows) * ld_;
    values_.resize(size);
    for (float& value : values_) value = static_cast<float>(random.normal());
    for (float value : values_) halves_.push_back(bf16(value));
    if (dtype == DType::bf16) {
      for (std::int64_t i = 0; i < size; ++i) values_[i] = static_cast<float>(halves_[i]);
    }
  }

  void* data() {
    return dtype_ == DType::bf16 ? static_cast<void*>(halves_.data()) : values_.data();
  }
  MatrixRef ref() { return {data(), dtype_, ld_, transposed_}; }
  std::int64_t ld() const { return ld_; }
  DType dtype() const { return dtype_; }
  float at(std::int64_t i, std::int64_t j) const {
    const std::int64_t at = transposed_ ? j * ld_ + i : i * ld_ + j;
    return dtype_ == DType::bf16 ? static_cast<float>(halves_[at]) : values_[at];
  }
  // All bytes, padding included.
  std::vector<std::byte> bytes() {
    const std::size_t n = values_.size() * size_of(dtype_);
    const auto* p = static_cast<const std::byte*>(data());
    return {p, p + n};
  }
  std::vector<std::byte> row_bytes(std::int64_t i) {
    const std::size_t size = size_of(dtype_);
    const auto* p = static_cast<const std::byte*>(data()) + i * ld_ * size;
    return {p, p + cols_ * size};
  }

 private:
  std::int64_t rows_, cols_, ld_;
  DType dtype_;
  bool transposed_;
  std::vector<float> values_;
  std::vector<bf16> halves_;
};

struct Case {
  std::int64_t m, n, k;
  DType a = DType::f32, b = DType::f32, c = DType::f32;
  bool ta = false, tb = false, accumulate = false, bias = false;
  Compute compute = Compute::f32;
  std::int64_t pad = 0;
};

std::string describe(const Case& s) {
  return fmt::format("{}x{}x{} a={}{} b={}{} c={} acc={} bias={} compute={} pad={}", s.m, s.n, s.k,
                     name_of(s.a), s.ta ? "T" : "", name_of(s.b), s.tb ? "T" : "", name_of(s.c),
                     s.accumulate, s.bias, s.compute == Compute::bf16 ? "bf16" : "f32", s.pad);
}

std::int64_t pick(Random& random, std::initializer_list<std::int64_t> from) {
  return from.begin()[random.below(from.size())];
}

Case random_case(Random& random) {
  const auto dtype = [&] { return random.below(2) != 0 ? DType::bf16 : DType::f32; };
  const auto coin = [&] { return random.below(2) != 0; };
  Case s;
  s.m = pick(random, {1, 2, 3, 5, 8, 13, 16, 17, 29, 64, 97, 131});
  s.n = pick(random, {1, 2, 7, 15, 16, 17, 31, 33, 48, 65, 129, 200, 257});
  s.k = pick(random, {1, 2, 3, 7, 16, 31, 64, 65, 255, 256, 257, 511, 513, 1100});
  s.a = dtype();
  s.b = dtype();
  s.c = dtype();
  s.ta = coin();
  s.tb = coin();
  s.accumulate = coin();
  s.bias = coin();
  s.compute = coin() ? Compute::bf16 : Compute::f32;
  s.pad = pick(random, {0, 0, 1, 5, 16});
  return s;
}

struct Operands {
  Operands(const Case& s, Random& random)
      : a(s.m, s.k, s.a, s.ta, s.pad, random),
        b(s.k, s.n, s.b, s.tb, s.pad, random),
        c(s.m, s.n, s.c, false, s.pad, random),
        bias(s.n) {
    for (float& value : bias) value = static_cast<float>(random.normal());
  }

  GemmArgs args(const Case& s) {
    GemmArgs args;
    args.m = s.m;
    args.n = s.n;
    args.k = s.k;
    args.a = a.ref();
    args.b = b.ref();
    args.c = c.data();
    args.c_dtype = s.c;
    args.ldc = c.ld();
    args.accumulate = s.accumulate;
    args.bias = s.bias ? bias.data() : nullptr;
    args.compute = s.compute;
    return args;
  }

  Matrix a, b, c;
  std::vector<float> bias;
};

void expect_matches_reference(const Case& s, Random& random) {
  Operands x(s, random);
  const Matrix before = x.c;
  std::vector<std::byte> padding_before = x.c.bytes();
  gemm(x.args(s));
  const auto rounded = [&](float v) {
    return static_cast<double>(s.compute == Compute::bf16 ? static_cast<float>(bf16(v)) : v);
  };
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = s.accumulate ? before.at(i, j) : 0.0;
      double size = std::abs(sum);
      for (std::int64_t k = 0; k < s.k; ++k) {
        const double product = rounded(x.a.at(i, k)) * rounded(x.b.at(k, j));
        sum += product;
        size += std::abs(product);
      }
      if (s.bias) sum += x.bias[j];
      const double step = s.c == DType::bf16 ? std::abs(sum) * 0x1p-8 : 0.0;
      ASSERT_NEAR(x.c.at(i, j), sum, step + size * 2e-6 + 1e-6)
          << describe(s) << " at " << i << "," << j << " isa " << name_of(isa());
    }
  }
  std::vector<std::byte> after = x.c.bytes();
  const std::size_t size = size_of(s.c);
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::size_t p = (i * x.c.ld() + s.n) * size; p < (i + 1) * x.c.ld() * size; ++p) {
      ASSERT_EQ(after[p], padding_before[p]) << describe(s) << ": wrote behind row " << i;
    }
  }
}

class GemmTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    threads_ = num_threads();
    isa_ = isa();
    set_isa(GetParam());
  }
  void TearDown() override {
    set_num_threads(threads_);
    set_isa(isa_);
  }

 private:
  int threads_ = 1;
  Isa isa_ = Isa::portable;
};

TEST_P(GemmTest, MatchesDoubleReference) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    expect_matches_reference(random_case(random), random);
    if (HasFatalFailure()) return;
  }
}

// One row alone, on one thread, against the same row inside a tall product.
TEST_P(GemmTest, RowDoesNotDependOnItsBatch) {
  Random random(2);
  for (int i = 0; i < 40; ++i) {
    Case s = random_case(random);
    s.m = 300;
    Operands x(s, random);
    Matrix whole = x.c;
    GemmArgs args = x.args(s);
    args.c = whole.data();
    set_num_threads(2);
    gemm(args);
    set_num_threads(1);
    const std::int64_t heights[] = {1, 2, 7, 15, 40};
    for (int r = 0; r < 12; ++r) {
      const std::int64_t m = heights[random.below(5)];
      const std::int64_t row = static_cast<std::int64_t>(random.below(s.m - m + 1));
      Matrix part = x.c;
      GemmArgs slice = x.args(s);
      slice.m = m;
      const std::int64_t step = s.ta ? 1 : args.a.ld;
      slice.a.data = static_cast<const std::byte*>(args.a.data) + row * step * size_of(s.a);
      slice.c = static_cast<std::byte*>(part.data()) + row * args.ldc * size_of(s.c);
      gemm(slice);
      for (std::int64_t j = row; j < row + m; ++j) {
        ASSERT_EQ(whole.row_bytes(j), part.row_bytes(j))
            << describe(s) << " row " << j << " in " << m;
      }
    }
  }
}

TEST_P(GemmTest, SameBitsForAnyThreadsAndPacking) {
  Random random(3);
  for (int i = 0; i < 60; ++i) {
    Case s = random_case(random);
    if (i % 4 == 0) s.m = 1;
    if (i % 5 == 0) s.n = 700;
    Operands x(s, random);
    std::vector<std::vector<std::byte>> results;
    for (int threads : {1, 2, 5}) {
      set_num_threads(threads);
      for (bool packed : {false, true}) {
        Matrix c = x.c;
        GemmArgs args = x.args(s);
        args.c = c.data();
        if (packed) {
          gemm(args, pack_b(args.b, s.k, s.n, s.compute));
        } else {
          gemm(args);
        }
        results.push_back(c.bytes());
      }
    }
    for (const auto& result : results) ASSERT_EQ(result, results[0]) << describe(s);
  }
}

TEST_P(GemmTest, EmptyInnerDimension) {
  float c[6] = {1, 2, 3, 4, 5, 6};
  const float bias[3] = {10, 20, 30};
  GemmArgs args;
  args.m = 2;
  args.n = 3;
  args.c = c;
  args.ldc = 3;
  args.bias = bias;
  args.accumulate = true;
  gemm(args);
  const float added[6] = {11, 22, 33, 14, 25, 36};
  EXPECT_EQ(std::memcmp(c, added, sizeof c), 0);
  args.accumulate = false;
  gemm(args);
  const float replaced[6] = {10, 20, 30, 10, 20, 30};
  EXPECT_EQ(std::memcmp(c, replaced, sizeof c), 0);
  args.bias = nullptr;
  gemm(args, pack_b({}, 0, 3, Compute::f32));
  const float zeros[6] = {};
  EXPECT_EQ(std::memcmp(c, zeros, sizeof c), 0);
}

TEST_P(GemmTest, EmptyResult) {
  GemmArgs args;
  args.k = 4;
  EXPECT_NO_THROW(gemm(args));
  args.m = 3;
  float a[12] = {};
  args.a = {a, DType::f32, 4};
  EXPECT_NO_THROW(gemm(args));
}

TEST_P(GemmTest, RefusesWhatCannotBeMeant) {
  float a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 4}, c[4] = {9, 9, 9, 9};
  GemmArgs good;
  good.m = good.n = good.k = 2;
  good.a = {a, DType::f32, 2};
  good.b = {b, DType::f32, 2};
  good.c = c;
  good.ldc = 2;
  const auto refuses = [&](auto change) {
    GemmArgs args = good;
    change(args);
    EXPECT_THROW(gemm(args), UsageError);
  };
  refuses([](GemmArgs& x) { x.m = -1; });
  refuses([](GemmArgs& x) { x.a.data = nullptr; });
  refuses([](GemmArgs& x) { x.b.ld = 1; });
  refuses([](GemmArgs& x) { x.ldc = 1; });
  refuses([](GemmArgs& x) { x.c = nullptr; });
  refuses([](GemmArgs& x) { x.b.dtype = DType::i32; });
  refuses([](GemmArgs& x) { x.c_dtype = DType::u8; });
  const PackedMatrix packed = pack_b(good.b, 2, 2, Compute::bf16);
  EXPECT_THROW(gemm(good, packed), UsageError);
  EXPECT_EQ(c[0], 9);
  gemm(good);
  EXPECT_EQ(c[0], 7);
}

INSTANTIATE_TEST_SUITE_P(Isa, GemmTest, testing::ValuesIn(supported_isas()),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace stepstone::cpu
