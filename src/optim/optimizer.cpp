#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "optim/adamw_cpu.h"
#include "optim/orthogonalize.h"

namespace stepstone {

using nn::Parameter;
using nn::Role;

// One matrix of a Muon parameter: rows [begin, begin + rows) of it.
struct Optimizer::Matrix {
  const Slot* slot;
  std::int64_t begin, rows, cols;
};

Optimizer::Optimizer(nn::ParameterList& parameters, OptimizerConfig config) : config_(config) {
  for (Parameter& p : parameters) {
    const bool matrix = p.role == Role::matrix || p.role == Role::residual_matrix;
    Slot slot{.parameter = &p,
              .muon = config.muon && matrix,
              .lr = config.lr,
              .weight_decay = p.role == Role::vector ? 0 : config.weight_decay,
              .first = Tensor::zeros(p.var.shape(), DType::f32),
              .second = {}};
    if (config.muon && p.role == Role::embedding) slot.lr = config.embedding_lr;
    if (config.muon && p.role == Role::head) slot.lr = config.head_lr;
    if (config.muon && p.role == Role::vector) slot.lr = config.vector_lr;
    slot.second =
        Tensor::zeros(slot.muon ? Shape{p.var.value().rows()} : p.var.shape(), DType::f32);
    slots_.push_back(std::move(slot));
  }
}

Optimizer::Report Optimizer::step(double lr_scale) {
  double squares = 0;
  for (const Slot& slot : slots_) {
    const Tensor& grad = slot.parameter->var.grad();
    if (grad.defined()) squares += cpu::sum_of_squares(grad.numel(), grad.data<float>());
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    for (const Slot& slot : slots_) slot.parameter->var.clear_grad();
    return {norm, false};
  }
  const float scale =
      config_.clip > 0 && norm > config_.clip ? static_cast<float>(config_.clip / norm) : 1.0f;
  ++steps_;
  for (const Slot& slot : slots_) {
    if (!slot.muon && slot.parameter->var.grad().defined()) step_adamw(slot, lr_scale, scale);
  }
  step_muon(lr_scale, scale);
  for (const Slot& slot : slots_) slot.parameter->var.clear_grad();
  return {norm, true};
}

void Optimizer::step_adamw(const Slot& slot, double lr_scale, float gradient_scale) {
  const auto t = static_cast<double>(steps_);
  const cpu::AdamWStep step{
      .lr = static_cast<float>(slot.lr * lr_scale),
      .beta1 = config_.beta1,
      .beta2 = config_.beta2,
      .eps = config_.eps,
      .weight_decay = slot.weight_decay,
      .correction1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(config_.beta1), t))),
      .correction2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(config_.beta2), t))),
      .gradient_scale = gradient_scale};
  const nn::Parameter& p = *slot.parameter;
  cpu::adamw(step, p.numel(), p.var.grad().data<float>(), p.var.value().data<float>(),
             slot.first.data<float>(), slot.second.data<float>());
}

namespace {

struct MuonStep {
  float lr, weight_decay, momentum, row_beta2, row_correction, gradient_scale;
  int iterations;
  DType compute;
};

// Scales each row by its running root mean square, and the whole back to its norm before.
void normalize_rows(const MuonStep& s, float* update, float* row_moment, std::int64_t rows,
                    std::int64_t cols) {
  double before = 0, after = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    float* row = update + i * cols;
    const double squares = cpu::sum_of_squares(cols, row);
    const auto mean = static_cast<float>(squares / static_cast<double>(cols));
    row_moment[i] = s.row_beta2 * row_moment[i] + (1 - s.row_beta2) * mean;
    const float scale = 1 / (std::sqrt(row_moment[i] * s.row_correction) + 1e-8f);
    for (std::int64_t j = 0; j < cols; ++j) row[j] *= scale;
    before += squares;
    after += squares * scale * scale;
  }
  const auto restore = static_cast<float>(std::sqrt(before / std::max(after, 1e-30)));
  for (std::int64_t i = 0; i < rows * cols; ++i) update[i] *= restore;
}

// One matrix, on the calling thread.
void muon_matrix(const MuonStep& s, const float* grad, float* w, float* momentum, float* row_moment,
                 std::int64_t rows, std::int64_t cols) {
  static thread_local std::vector<float> update;
  static thread_local OrthogonalizeWorkspace workspace;
  const std::int64_t size = rows * cols;
  update.resize(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const float g = grad[i] * s.gradient_scale;
    momentum[i] = s.momentum * momentum[i] + (1 - s.momentum) * g;
    update[static_cast<std::size_t>(i)] = s.momentum * momentum[i] + (1 - s.momentum) * g;
  }
  orthogonalize(update.data(), rows, cols, s.iterations, s.compute, workspace);
  if (s.row_beta2 > 0) normalize_rows(s, update.data(), row_moment, rows, cols);
  // Steps of equal spectral size relative to the map's natural scale: wide outputs step further.
  const float lr =
      s.lr * std::sqrt(std::max(1.0f, static_cast<float>(rows) / static_cast<float>(cols)));
  const float decay = s.lr * s.weight_decay;
  for (std::int64_t i = 0; i < size; ++i) {
    const float u = update[static_cast<std::size_t>(i)];
    const float kept = u * w[i] > 0 ? w[i] * (1 - decay) : w[i];
    w[i] = kept - lr * u;
  }
}

}  // namespace

void Optimizer::step_muon(double lr_scale, float gradient_scale) {
  std::vector<Matrix> matrices;
  for (const Slot& slot : slots_) {
    if (!slot.muon || !slot.parameter->var.grad().defined()) continue;
    std::int64_t begin = 0;
    for (const nn::Part& part : slot.parameter->parts) {
      matrices.push_back({&slot, begin, part.rows, slot.parameter->var.value().cols()});
      begin += part.rows;
    }
  }
  const double warm =
      std::min(1.0, static_cast<double>(steps_) / std::max(1, config_.momentum_warmup));
  const MuonStep step{
      .lr = static_cast<float>(config_.lr * lr_scale),
      .weight_decay = config_.weight_decay,
      .momentum = static_cast<float>(warm * config_.momentum +
                                     (1 - warm) * std::min(0.85f, config_.momentum)),
      .row_beta2 = config_.row_beta2,
      .row_correction = static_cast<float>(
          1 / (1 - std::pow(static_cast<double>(config_.row_beta2), static_cast<double>(steps_)))),
      .gradient_scale = gradient_scale,
      .iterations = config_.iterations,
      .compute = config_.compute};
  // Each matrix on one thread: many independent ones balance better than one split in two.
  parallel_for(static_cast<std::int64_t>(matrices.size()), 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const Matrix& m = matrices[static_cast<std::size_t>(i)];
                   const nn::Parameter& p = *m.slot->parameter;
                   const std::int64_t at = m.begin * m.cols;
                   muon_matrix(step, p.var.grad().data<float>() + at,
                               p.var.value().data<float>() + at, m.slot->first.data<float>() + at,
                               m.slot->second.data<float>() + m.begin, m.rows, m.cols);
                 }
               });
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Slot& slot : slots_) {
    all.emplace_back(slot.parameter->name + ".first", slot.first);
    all.emplace_back(slot.parameter->name + ".second", slot.second);
  }
  return all;
}

void Optimizer::load_state(const std::vector<std::pair<std::string, Tensor>>& state,
                           std::int64_t steps) {
  const auto mine = this->state();
  require(mine.size() == state.size(), "optimiser state: expected {} tensors, got {}", mine.size(),
          state.size());
  for (const auto& [name, target] : mine) {
    const auto it = std::find_if(state.begin(), state.end(),
                                 [&](const auto& entry) { return entry.first == name; });
    require(it != state.end(), "optimiser state: {} is missing", name);
    target.copy_from(it->second);
  }
  steps_ = steps;
}

}  // namespace stepstone
