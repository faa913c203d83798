// The output projection fused with softmax cross-entropy: logits exist for one chunk of tokens at a
// time.
//
//   z[i, v] = x[i, :] . weight[v, :], capped: softcap * tanh(z / softcap) when softcap > 0
//   lse_i   = log(sum_v exp(z[i, v]))
//   y       = scale * sum_i (lse_i - z[i, target_i] + z_loss * lse_i^2)
//
// x [T, d] f32 or bf16; weight [V, d] f32, perhaps the embedding table; targets [T], each in [0,
// V), or -1: the token is skipped and costs nothing. y [1] f32, summed in double in the order of
// the tokens. Logits are f32 also with compute bf16; their gradient is then rounded to bf16 by the
// matrix products. A token's loss does not depend on its batch or on the chunks.
//
// The gradients are computed in the forward pass, chunk by chunk, while the logits are there: three
// matrix products in all, where recomputing the logits would take four. Saves dx [T, d] and
// dweight [V, d], those that are wanted; backward() hands them over.
// FLOPs: 2 T V d, three times that with both gradients. Memory: chunk * V f32.
// The soft cap is that of Gemma 2 (arXiv:2408.00118); z_loss that of PaLM (arXiv:2204.02311).
#pragma once

#include <cstdint>

#include "backend/cpu/gemm.h"
#include "ops/op.h"

namespace stepstone::ops {

struct HeadLossConfig {
  float scale = 1;  // 1 / (number of targets in the whole optimiser step) for a mean
  float softcap = 0;
  float z_loss = 0;
  std::int64_t chunk = 0;       // tokens at a time; 0: by the size of the vocabulary
  Tensor* token_nll = nullptr;  // set to [T] f32: each token's lse - z[target], 0 where skipped
};

Var head_loss(Graph& graph, const Var& x, const Var& weight, std::span<const std::int32_t> targets,
              const HeadLossConfig& config = {});

// The logits [T, V] f32 alone, bit for bit those inside head_loss; no gradient.
Tensor head_logits(Graph& graph, const Tensor& x, const Tensor& weight, float softcap = 0);
// The same with the weight packed, transposed.
Tensor head_logits(Graph& graph, const Tensor& x, const cpu::PackedMatrix& weight,
                   float softcap = 0);

}  // namespace stepstone::ops
