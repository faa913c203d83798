// One description of an op's use gives all its checks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/graph.h"

namespace stepstone::ops {

struct OpInput {
  Shape shape;
  bool differentiable = true;
  double low = -1, high = 1;  // values are uniform in [low, high]
};

using Doubles = std::vector<double>;

struct OpCase {
  std::vector<OpInput> inputs;  // all f32
  std::function<Var(Graph&, const std::vector<Var>&)> op;
  // The same in float64, straight from the formula: inputs flat, row-major; output flat.
  std::function<Doubles(const std::vector<Doubles>&)> reference;
  // The composite of simple ops, for a fused op.
  std::function<Var(Graph&, const std::vector<Var>&)> composite = {};
  double tolerance = 1e-5;       // of values and gradients, relative to the largest
  double bf16_tolerance = 3e-2;  // the same with Graph compute bf16; 0: op has no such mode
  bool training = false;         // run with Graph training on (dropout)
};

// Checks, each failing the current test with a message that names input and element:
//   values against `reference`; gradients of a random projection against central differences of
//   `reference` and, when given, against `composite`; each input frozen in turn (no gradient
//   appears, the others keep their bits); accumulation (a second backward pass doubles);
//   1 and 2 threads give the same bits, and so do pieces of one index each
//   (core/threads_testing.h), on two threads and backwards on one; compute bf16 stays near the
//   reference.
void check_op(const OpCase& test);

}  // namespace stepstone::ops
