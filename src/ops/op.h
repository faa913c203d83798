// What an op tells about itself, and the registry of all ops (ops.def).
//
// The contract, with src/ops/rms_norm as the model to follow:
//   <op>.h         shapes, dtypes, the formula, what is saved for backward
//   <op>.cpp       OpInfo; the op function: checks, forward, and the backward beside it
//   <op>_cpu.h/cpp its CPU kernels on raw pointers (Highway, or the GEMM)
//   <op>_test.cpp  OpCases in a suite named Op_<op> (ops/testing/op_case.h)
// A result row depends on its own inputs only: not on the batch, its place in it, or threads.
#pragma once

#include <span>
#include <string_view>

#include "autograd/graph.h"

namespace stepstone::ops {

struct Cost {
  double flops = 0;
  double bytes = 0;  // read and written once each, in a perfect cache
};

struct OpInfo {
  std::string_view name;
  std::string_view formula;
  std::span<const std::string_view> inputs;
  // Cost of the forward pass for these input shapes, at 4 bytes an element.
  Cost (*cost)(std::span<const Shape> inputs);
  // A fused op has a composite of simpler ops: its oracle, its fallback on a device without a
  // kernel, and its documentation. Empty for simple ops.
  std::string_view composite = {};
};

std::span<const OpInfo* const> all_ops();

}  // namespace stepstone::ops
