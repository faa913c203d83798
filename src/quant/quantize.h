#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/block_type.h"

namespace stepstone {

// The reverse of dequantize(): out.size() == bytes_of(type, values.size()). Scales, minima and
// codes are searched for the least squared error (quant/fit.h). In parallel; the result does not
// depend on the number of threads. Throws UsageError when `type` is not one for weights, and Error
// for values that are not finite or too large for the type's scale.
void quantize(BlockType type, std::span<const float> values, std::span<std::byte> out);

}  // namespace stepstone
