#include "ops/rms_norm/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/inverse_sqrt/inverse_sqrt.h"
#include "ops/mul/mul.h"
#include "ops/row_mean/row_mean.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

constexpr double kEps = 1e-5;

Doubles reference(const Doubles& x, const Doubles& w, std::size_t n) {
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size(); i += n) {
    double squares = 0;
    for (std::size_t j = 0; j < n; ++j) squares += x[i + j] * x[i + j];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + kEps);
    for (std::size_t j = 0; j < n; ++j) y[i + j] = x[i + j] * scale * w[j];
  }
  return y;
}

TEST(Op_rms_norm, Case) {
  for (const std::int64_t n : {1, 7, 64, 100}) {
    check_op({
        .inputs = {{{70, n}, true, 0.2, 2}, {{n}}},
        .op = [](Graph& g, const std::vector<Var>& in) { return rms_norm(g, in[0], in[1], kEps); },
        .reference = [n](const std::vector<Doubles>& in) { return reference(in[0], in[1], n); },
        .composite =
            [](Graph& g, const std::vector<Var>& in) {
              const Var scale = inverse_sqrt(g, row_mean(g, mul(g, in[0], in[0])), kEps);
              return mul(g, mul(g, in[0], scale), in[1]);
            },
    });
  }
}

TEST(Op_rms_norm, WithoutWeight) {
  check_op({
      .inputs = {{{3, 33}}},
      .op = [](Graph& g, const std::vector<Var>& in) { return rms_norm(g, in[0], {}, kEps); },
      .reference =
          [](const std::vector<Doubles>& in) { return reference(in[0], Doubles(33, 1), 33); },
  });
}

}  // namespace
}  // namespace stepstone::ops
