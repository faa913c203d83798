#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/block_type.h"

namespace stepstone {

// The values of whole blocks: blocks.size() == bytes_of(type, out.size()). `type` is one for
// weights; throws UsageError otherwise. In parallel.
void dequantize(BlockType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace stepstone
