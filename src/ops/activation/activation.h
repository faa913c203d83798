// y = f(x), element by element.
//
//   silu       x / (1 + e^-x)                                   (Hendrycks & Gimpel 2016)
//   gelu_erf   x/2 (1 + erf(x / sqrt(2)))                       (the same, arXiv:1606.08415)
//   gelu_tanh  x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))    ("gelu_new" of GPT-2)
//   relu       max(x, 0)
//   relu2      max(x, 0)^2                                      (So et al. 2021, arXiv:2109.08668)
//   tanh       tanh(x)
//
// x [..] f32 or bf16; y has the dtype of x. Saves x.
#pragma once

#include <cstdint>

#include "ops/op.h"

namespace stepstone::ops {

enum class Activation : std::uint8_t { silu, gelu_erf, gelu_tanh, relu, relu2, tanh };

Var activation(Graph& graph, const Var& x, Activation kind);

}  // namespace stepstone::ops
