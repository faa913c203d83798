#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <mutex>
#include <numeric>

#include "core/random.h"
#include "core/threads.h"
#include "core/threads_testing.h"
#include "ops/testing/op_case.h"

namespace stepstone::ops {
namespace {

struct Run {
  Tensor output;
  std::vector<Tensor> gradients;  // undefined where none appeared
};

class Checker {
 public:
  explicit Checker(const OpCase& test) : test_(test) {
    Random random(2024);
    for (const OpInput& input : test.inputs) {
      Tensor t = Tensor::empty(input.shape, DType::f32);
      for (float& x : t.span<float>()) {
        x = static_cast<float>(input.low + (input.high - input.low) * random.uniform());
      }
      values_.push_back(t);
    }
    const auto reference = test.reference(as_doubles());
    projection_.resize(reference.size());
    for (double& x : projection_) x = static_cast<float>(2 * random.uniform() - 1);
    reference_ = reference;
  }

  void check() {
    const Run base = run(test_.op, DType::f32);
    compare("value", base.output, reference_, test_.tolerance);
    check_gradients(base);
    if (test_.composite) check_composite();
    check_frozen(base);
    check_accumulation(base);
    check_threads(base);
    if (test_.bf16_tolerance > 0) {
      compare("bf16 value", run(test_.op, DType::bf16).output.to(DType::f32), reference_,
              test_.bf16_tolerance);
    }
  }

 private:
  std::vector<Doubles> as_doubles() const {
    std::vector<Doubles> all;
    for (const Tensor& t : values_) {
      const auto s = t.span<float>();
      all.emplace_back(s.begin(), s.end());
    }
    return all;
  }

  Run run(const std::function<Var(Graph&, const std::vector<Var>&)>& op, DType compute,
          int frozen = -1, int passes = 1) const {
    std::vector<Var> vars;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      vars.emplace_back(values_[i],
                        test_.inputs[i].differentiable && static_cast<int>(i) != frozen);
    }
    Run result;
    for (int pass = 0; pass < passes; ++pass) {
      Graph graph({.record = true, .training = test_.training, .compute = compute, .seed = 11});
      const Var out = op(graph, vars);
      result.output = out.value();
      Doubles p = projection_;
      std::vector<float> as_float(p.begin(), p.end());
      Tensor grad = Tensor::from<float>(as_float, out.shape());
      if (out.value().dtype() == DType::bf16) grad = grad.to(DType::bf16);
      if (out.requires_grad()) graph.backward(out, grad);
    }
    for (const Var& v : vars) result.gradients.push_back(v.grad());
    return result;
  }

  static void compare(const std::string& what, const Tensor& got, const Doubles& expected,
                      double tolerance) {
    ASSERT_EQ(static_cast<std::size_t>(got.numel()), expected.size()) << what;
    double scale = 1e-2;  // below this, differences are rounding noise
    for (double x : expected) scale = std::max(scale, std::abs(x));
    const Tensor as_f32 = got.dtype() == DType::f32 ? got : got.to(DType::f32);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(as_f32.data<float>()[i], expected[i], tolerance * scale)
          << what << ", element " << i;
    }
  }

  double projected(const std::vector<Doubles>& inputs) const {
    const Doubles y = test_.reference(inputs);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * projection_[i];
    return sum;
  }

  void check_gradients(const Run& base) const {
    auto inputs = as_doubles();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!test_.inputs[i].differentiable) continue;
      ASSERT_TRUE(base.gradients[i].defined()) << "input " << i << " got no gradient";
      Doubles expected(inputs[i].size());
      for (std::size_t j = 0; j < expected.size(); ++j) {
        const double x = inputs[i][j];
        constexpr double h = 1e-5;
        inputs[i][j] = x + h;
        const double up = projected(inputs);
        inputs[i][j] = x - h;
        const double down = projected(inputs);
        inputs[i][j] = x;
        expected[j] = (up - down) / (2 * h);
      }
      compare("gradient of input " + std::to_string(i), base.gradients[i], expected,
              10 * test_.tolerance);
    }
  }

  void check_composite() const {
    const Run fused = run(test_.op, DType::f32);
    const Run simple = run(test_.composite, DType::f32);
    compare("composite value", simple.output, reference_, test_.tolerance);
    for (std::size_t i = 0; i < fused.gradients.size(); ++i) {
      if (!fused.gradients[i].defined()) continue;
      ASSERT_TRUE(simple.gradients[i].defined());
      const auto s = simple.gradients[i].span<float>();
      compare("gradient against composite, input " + std::to_string(i), fused.gradients[i],
              Doubles(s.begin(), s.end()), 10 * test_.tolerance);
    }
  }

  static void expect_same_bits(const std::string& what, const Tensor& a, const Tensor& b) {
    ASSERT_EQ(a.defined(), b.defined()) << what;
    if (!a.defined()) return;
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << what;
  }

  void check_frozen(const Run& base) const {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (!test_.inputs[i].differentiable) continue;
      const Run frozen = run(test_.op, DType::f32, static_cast<int>(i));
      EXPECT_FALSE(frozen.gradients[i].defined()) << "frozen input " << i << " got a gradient";
      for (std::size_t j = 0; j < values_.size(); ++j) {
        if (j != i) {
          expect_same_bits("gradient of input " + std::to_string(j) + " with input " +
                               std::to_string(i) + " frozen",
                           frozen.gradients[j], base.gradients[j]);
        }
      }
    }
  }

  void check_accumulation(const Run& base) const {
    const Run twice = run(test_.op, DType::f32, -1, 2);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (!base.gradients[i].defined()) continue;
      Doubles expected;
      for (float x : base.gradients[i].span<float>()) expected.push_back(2.0 * x);
      compare("accumulated gradient of input " + std::to_string(i), twice.gradients[i], expected,
              test_.tolerance);
    }
  }

  void expect_same(const std::string& how, const Run& base, const Run& other) const {
    expect_same_bits("value " + how, base.output, other.output);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      expect_same_bits(fmt::format("gradient {}, input {}", how, i), base.gradients[i],
                       other.gradients[i]);
    }
  }

  void check_threads(const Run& base) const {
    const int before = num_threads();
    for (const int threads : {1, 2}) {
      set_num_threads(threads);
      expect_same(fmt::format("with {} threads", threads), base, run(test_.op, DType::f32));
    }
    {
      const FinestPieces finest(false);  // even this small a case is split now
      expect_same("with the work in the finest pieces", base, run(test_.op, DType::f32));
    }
    set_num_threads(before);
    const FinestPieces backwards(true);
    expect_same("with the pieces in another order", base, run(test_.op, DType::f32));
  }

  const OpCase& test_;
  std::vector<Tensor> values_;
  Doubles reference_, projection_;
};

}  // namespace

void check_op(const OpCase& test) { Checker(test).check(); }

namespace {

// A sum in the order in which pieces come, of far fewer elements than kernels split between
// threads.
Var sum_as_they_come(Graph&, const std::vector<Var>& in) {
  const std::span<const float> x = in[0].value().span<float>();
  const Tensor sum = Tensor::zeros({1}, DType::f32);
  std::mutex mutex;
  parallel_for(std::ssize(x), 8192, [&](std::int64_t begin, std::int64_t end) {
    const std::lock_guard lock(mutex);
    for (std::int64_t i = begin; i < end; ++i) {
      *sum.data<float>() += x[static_cast<std::size_t>(i)];
    }
  });
  return Var(sum);
}

TEST(CheckOp, NoticesWhatDependsOnTheOrder) {
  testing::TestPartResultArray results;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    check_op({.inputs = {{{301}, false}},
              .op = sum_as_they_come,
              .reference =
                  [](const std::vector<Doubles>& in) {
                    return Doubles{std::accumulate(in[0].begin(), in[0].end(), 0.0)};
                  },
              .bf16_tolerance = 0});
  }
  int noticed = 0;
  for (int i = 0; i < results.size(); ++i) {
    const std::string message = results.GetTestPartResult(i).message();
    EXPECT_NE(message.find("pieces"), std::string::npos) << message;
    noticed += message.find("in another order") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(noticed, 1);
}

}  // namespace

}  // namespace stepstone::ops
