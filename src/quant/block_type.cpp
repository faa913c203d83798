#include "quant/block_type.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "quant/blocks.h"

namespace stepstone {
namespace {

template <typename Block>
constexpr BlockInfo block(BlockType type, std::string_view name) {
  return {type, name, Block::kElements, sizeof(Block), true};
}

constexpr std::array kTypes = {
    BlockInfo{BlockType::f32, "F32", 1, 4, true},    BlockInfo{BlockType::f16, "F16", 1, 2, true},
    block<BlockQ4_0>(BlockType::q4_0, "Q4_0"),       block<BlockQ4_1>(BlockType::q4_1, "Q4_1"),
    block<BlockQ5_0>(BlockType::q5_0, "Q5_0"),       block<BlockQ5_1>(BlockType::q5_1, "Q5_1"),
    block<BlockQ8_0>(BlockType::q8_0, "Q8_0"),       block<BlockQ2_K>(BlockType::q2_k, "Q2_K"),
    block<BlockQ3_K>(BlockType::q3_k, "Q3_K"),       block<BlockQ4_K>(BlockType::q4_k, "Q4_K"),
    block<BlockQ5_K>(BlockType::q5_k, "Q5_K"),       block<BlockQ6_K>(BlockType::q6_k, "Q6_K"),
    block<BlockIQ4_NL>(BlockType::iq4_nl, "IQ4_NL"), BlockInfo{BlockType::i8, "I8", 1, 1, false},
    BlockInfo{BlockType::i16, "I16", 1, 2, false},   BlockInfo{BlockType::i32, "I32", 1, 4, false},
    BlockInfo{BlockType::i64, "I64", 1, 8, false},   BlockInfo{BlockType::f64, "F64", 1, 8, false},
    BlockInfo{BlockType::bf16, "BF16", 1, 2, true},  block<BlockMXFP4>(BlockType::mxfp4, "MXFP4"),
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

std::span<const BlockInfo> block_types() { return kTypes; }

const BlockInfo* find_block_type(std::uint32_t number) {
  const auto found = std::ranges::find(kTypes, static_cast<BlockType>(number), &BlockInfo::type);
  return found == kTypes.end() ? nullptr : &*found;
}

const BlockInfo* find_block_type(std::string_view name) {
  const auto found = std::ranges::find_if(kTypes, [&](const BlockInfo& info) {
    return std::ranges::equal(info.name, name, {}, {}, upper);
  });
  return found == kTypes.end() ? nullptr : &*found;
}

const BlockInfo& info_of(BlockType type) {
  const BlockInfo* info = find_block_type(static_cast<std::uint32_t>(type));
  require<UsageError>(info != nullptr, "block type {}: unknown", static_cast<std::uint32_t>(type));
  return *info;
}

std::uint64_t bytes_of(BlockType type, std::uint64_t count) {
  const BlockInfo& info = info_of(type);
  require<UsageError>(count % info.elements == 0, "{}: {} elements are not a multiple of {}",
                      info.name, count, info.elements);
  return count / info.elements * info.bytes;
}

}  // namespace stepstone
