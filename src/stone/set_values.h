// The last step of loading weights, whatever the file.
#pragma once

#include <span>
#include <vector>

#include "models/transformer/transformer.h"

namespace stepstone {

enum class Weights : std::uint8_t {
  f32,        // widened or dequantised: to be trained, converted, or looked at
  as_stored,  // matrices stay bf16, f16 or quantised and are packed, for inference alone
};

// Gives a parameter its values, the rows of `sources` (f32, bf16, f16) one after another. As
// stored, a matrix is packed for products in `compute`, and nothing else of it stays in memory.
void set_values(Transformer& model, nn::Parameter& parameter, std::span<const Tensor> sources,
                Weights weights, DType compute);

}  // namespace stepstone
