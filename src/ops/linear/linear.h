// y = x Wᵀ + b, the matrix product of every projection.
//
// x [rows, in] f32 or bf16; weight [out, in] f32 (the layout of Hugging Face linear layers);
// bias [out] f32 or undefined. y [rows, out] in the graph's compute dtype. With compute bf16 both
// factors are rounded to bf16 and summed in f32. Saves x.
// FLOPs: 2 · rows · in · out forward, twice that backward.
#pragma once

#include "backend/cpu/gemm.h"
#include "ops/op.h"

namespace stepstone::ops {

Var linear(Graph& graph, const Var& x, const Var& weight, const Var& bias = {});
// The same bits from a weight packed beforehand, for inference: records nothing. The packing's
// compute type must be the graph's.
Var linear(Graph& graph, const Var& x, const cpu::PackedMatrix& weight, const Var& bias = {});

}  // namespace stepstone::ops
