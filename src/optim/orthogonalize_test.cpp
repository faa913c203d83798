#include "optim/orthogonalize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"

namespace stepstone {
namespace {

// The Gram matrix over the short side must come near the identity.
void check(std::int64_t rows, std::int64_t cols, DType compute) {
  Random random(3);
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  for (float& v : x) v = static_cast<float>(random.normal());
  OrthogonalizeWorkspace workspace;
  orthogonalize(x.data(), rows, cols, 5, compute, workspace);
  const bool tall = rows > cols;
  const std::int64_t n = std::min(rows, cols), m = std::max(rows, cols);
  const auto at = [&](std::int64_t i, std::int64_t k) {
    return static_cast<double>(tall ? x[static_cast<std::size_t>(k * cols + i)]
                                    : x[static_cast<std::size_t>(i * cols + k)]);
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < m; ++k) dot += at(i, k) * at(j, k);
      EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, 0.2) << rows << "x" << cols << " " << i << "," << j;
    }
  }
}

TEST(Orthogonalize, GramIsNearIdentity) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    check(16, 48, compute);
    check(48, 16, compute);
    check(24, 24, compute);
  }
}

TEST(Orthogonalize, ZeroStaysZero) {
  std::vector<float> x(12, 0.0f);
  OrthogonalizeWorkspace workspace;
  orthogonalize(x.data(), 3, 4, 5, DType::f32, workspace);
  for (const float v : x) EXPECT_EQ(v, 0.0f);
}

}  // namespace
}  // namespace stepstone
