#pragma once

#include <cstdint>

namespace stepstone::cpu {

struct AdamWStep {
  float lr, beta1, beta2, eps, weight_decay;
  float correction1, correction2;  // 1 / (1 - beta^t)
  float gradient_scale;
};

// One AdamW update of n f32 elements:
//   g = grad · gradient_scale; m = β1 m + (1−β1) g; v = β2 v + (1−β2) g²
//   w −= lr · (m·c1 / (sqrt(v·c2) + eps) + weight_decay · w)
void adamw(const AdamWStep& step, std::int64_t n, const float* grad, float* w, float* m, float* v);

// Sum of squares in f64 over a fixed tree of chunks.
double sum_of_squares(std::int64_t n, const float* x);

}  // namespace stepstone::cpu
