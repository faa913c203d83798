#include "ops/embedding/embedding.h"

#include <gtest/gtest.h>

#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

void check(std::int64_t vocabulary, std::int64_t d, std::vector<std::int32_t> ids) {
  check_op({
      .inputs = {{{vocabulary, d}}},
      .op = [=](Graph& g, const std::vector<Var>& in) { return embedding(g, in[0], ids); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            Doubles y;
            const auto n = static_cast<std::size_t>(d);
            for (const std::int32_t id : ids) {
              for (std::size_t j = 0; j < n; ++j) {
                y.push_back(in[0][static_cast<std::size_t>(id) * n + j]);
              }
            }
            return y;
          },
  });
}

TEST(Op_embedding, Case) {
  check(5, 37, {4, 0, 4, 4, 2});
  check(1, 1, {0, 0});
  check(3, 300, {2, 1, 2, 2, 2, 2, 1});
}

TEST(Op_embedding, NoTokens) {
  Graph g;
  const Var y = embedding(g, Var(Tensor::zeros({3, 4}, DType::f32)), {});
  EXPECT_EQ(y.shape(), (Shape{0, 4}));
}

TEST(Op_embedding, RefusesIdsOutsideTheTable) {
  Graph g;
  const Var table(Tensor::zeros({3, 4}, DType::f32));
  for (const std::int32_t bad : {-1, 3}) {
    const std::vector<std::int32_t> ids = {0, bad};
    try {
      embedding(g, table, ids);
      FAIL() << "accepted " << bad;
    } catch (const UsageError& e) {
      EXPECT_NE(std::string(e.what()).find("ids[1]"), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace stepstone::ops
