// The small layers that blocks are made of. They hold references into a ParameterList.
#pragma once

#include "backend/cpu/gemm.h"
#include "nn/parameter.h"

namespace stepstone::nn {

// Wᵀ of a weight [out, in], packed for products in `compute`.
cpu::PackedMatrix packed_weight(const Tensor& w, DType compute);

// y = x Wᵀ + b
class Linear {
 public:
  Linear() = default;
  Linear(Parameter* weight, Parameter* bias) : weight_(weight), bias_(bias) {}

  Var operator()(Graph& graph, const Var& x) const;
  // Packs the weight once for inference in `compute`, in place of its f32 values; the results keep
  // their bits. Nothing if it is packed.
  void pack(DType compute);
  // A weight that is quantised, likewise.
  void set(cpu::PackedMatrix packed) { packed_ = std::move(packed); }
  void pack_all() const { packed_.pack_all(); }
  const Parameter* weight() const { return weight_; }
  std::size_t packed_bytes() const { return packed_.bytes(); }

 private:
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  cpu::PackedMatrix packed_;
};

enum class NormKind : std::uint8_t { rms, layer };

class Norm {
 public:
  Norm() = default;
  // `offset` is added to the weight (Gemma stores weight - 1).
  Norm(NormKind kind, Parameter* weight, Parameter* bias, float eps, float offset = 0)
      : kind_(kind), weight_(weight), bias_(bias), eps_(eps), offset_(offset) {}

  Var operator()(Graph& graph, const Var& x) const;

 private:
  NormKind kind_ = NormKind::rms;
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  float eps_ = 1e-5f;
  float offset_ = 0;
};

// The weight with `offset` added to every element; undefined without a parameter.
Var offset_weight(Graph& graph, const Parameter* weight, float offset);

}  // namespace stepstone::nn
