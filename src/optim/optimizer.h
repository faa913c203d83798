// AdamW and Muon over a model's parameters.
//
// AdamW: Loshchilov & Hutter 2019 (arXiv:1711.05101). Muon: Jordan et al. 2024: momentum, then
// the nearest (semi-)orthogonal matrix; here with the Polar Express polynomials (Amsel et al.
// 2025, arXiv:2505.16932), the per-row second moment of NorMuon (Li et al. 2025,
// arXiv:2510.05491) and cautious weight decay (Chen et al. 2025, arXiv:2510.12402: only where it
// and the update agree).
//
// Muon takes matrices inside blocks (one by one where a parameter holds several); embeddings, the
// head and vectors take AdamW. All state is f32.
#pragma once

#include <string>
#include <vector>

#include "nn/parameter.h"

namespace stepstone {

struct OptimizerConfig {
  bool muon = true;  // false: AdamW for everything
  float lr = 0.02f;  // Muon; AdamW of matrices when muon is off
  float embedding_lr = 0.01f;
  float head_lr = 0.004f;
  float vector_lr = 0.01f;
  float weight_decay = 0.0f;  // of matrices, embeddings and the head; times the learning rate
  float beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f;  // AdamW
  float momentum = 0.95f;                          // Muon, Nesterov
  int momentum_warmup = 300;                       // steps from 0.85 to `momentum`
  float row_beta2 = 0.95f;                         // NorMuon's second moment; 0: plain Muon
  int iterations = 5;                              // of Muon's orthogonalisation, 1 to 5
  float clip = 1.0f;                               // largest gradient norm; 0: off
  DType compute = DType::f32;                      // of Muon's matrix products
};

class Optimizer {
 public:
  Optimizer(nn::ParameterList& parameters, OptimizerConfig config);

  struct Report {
    double gradient_norm;  // before clipping
    bool finite;           // false: the gradient held NaN or Inf, and nothing was changed
  };
  // One update with all learning rates times `lr_scale`, from the gradients that are there, which
  // are cleared. Parameters without a gradient are left alone.
  Report step(double lr_scale);

  std::int64_t steps() const { return steps_; }

  // Everything that a resumed run needs, by name. Loading checks names, shapes and dtypes.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, Tensor>>& state, std::int64_t steps);

 private:
  struct Slot {
    nn::Parameter* parameter;
    bool muon;
    float lr;
    float weight_decay;
    Tensor first;   // AdamW m, or Muon momentum
    Tensor second;  // AdamW v, or NorMuon's row moments [rows]
  };
  struct Matrix;  // a part of a Muon slot

  void step_adamw(const Slot& slot, double lr_scale, float gradient_scale);
  void step_muon(double lr_scale, float gradient_scale);

  OptimizerConfig config_;
  std::int64_t steps_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace stepstone
