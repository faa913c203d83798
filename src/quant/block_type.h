// Element and block types of tensors in GGUF files, by their numbers there.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace stepstone {

enum class BlockType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  bf16 = 30,
  mxfp4 = 39,
};

// Rows are cut into blocks of `elements` values, `bytes` long each.
struct BlockInfo {
  BlockType type;
  std::string_view name;  // as llama.cpp spells it: "Q4_K"
  std::uint32_t elements;
  std::uint32_t bytes;
  bool weights;  // dequantize() and quantize() know it; the others are plain numbers
};

// All types, in the order of their numbers.
std::span<const BlockInfo> block_types();
// Null for a number or a name (upper or lower case) that is none of them.
const BlockInfo* find_block_type(std::uint32_t number);
const BlockInfo* find_block_type(std::string_view name);
const BlockInfo& info_of(BlockType type);
inline std::string_view name_of(BlockType type) { return info_of(type).name; }

// Bytes of `count` elements, a multiple of the block.
std::uint64_t bytes_of(BlockType type, std::uint64_t count);

}  // namespace stepstone
