#pragma once

#include <span>

#include "core/tensor.h"

namespace stepstone::cpu {

// y[i, :] = table[ids[i], :]; all f32.
void embedding_forward(const Tensor& table, std::span<const std::int32_t> ids, const Tensor& y);
// dtable[ids[i], :] (+)= dy[i, :]
void embedding_backward(std::span<const std::int32_t> ids, const Tensor& dy, const Tensor& dtable,
                        bool accumulate);

}  // namespace stepstone::cpu
