// What block_gemm.cpp asks of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/block_format.h"
#include "backend/cpu/isa.h"
#include "core/dtype.h"

namespace stepstone::cpu {

// Rows of A quantised to int8: x = scale q, a scale for every 32 k. Where a format needs them, the
// sums of q under each of its own scales (of 16 or 32 k), negated, or multiplied by the scale.
struct QuantizedRows {
  const std::int8_t* codes = nullptr;
  std::ptrdiff_t codes_row = 0;  // from row to row, in elements, like those below
  const float* scales = nullptr;
  std::ptrdiff_t scales_row = 0;
  const std::int32_t* negative_sums = nullptr;
  const float* scaled_sums = nullptr;
  std::ptrdiff_t sums_row = 0;
};

// C[i][j] = Σ_k A[i][k] B[k][j] for `rows` rows and all nr columns of a panel. The
// products under one scale of B are summed in integers, those sums in one chain of f32 along k.
struct BlockTile {
  QuantizedRows a;
  const std::byte* codes = nullptr;   // of the panel
  const std::byte* scales = nullptr;  // likewise
  std::int64_t steps = 0;
  int rows = 0;
  float* c = nullptr;
  std::ptrdiff_t c_row = 0;  // in elements
  // The panel that comes behind this one, if it is known, to be fetched into L2: by a wide kernel
  // so many lines per step, a tile after the other; by a direct one as far as it fetches ahead.
  const std::byte* ahead = nullptr;
  int ahead_lines = 0;
};

// A row of `count` elements, a multiple of 32.
struct QuantizeRow {
  const void* from = nullptr;
  DType dtype = DType::f32;
  std::int64_t count = 0;
  std::int8_t* codes = nullptr;
  float* scales = nullptr;
  std::int32_t* negative_sums16 = nullptr;  // null: not wanted
  std::int32_t* negative_sums32 = nullptr;
  float* scaled_sums16 = nullptr;
  float* scaled_sums32 = nullptr;
};

struct BlockKernels {
  int rows;  // of a tile: 1 to `rows`,
  int mr;    // or exactly mr in a wide kernel
  int nr;
  // The kernel that reads panels of a type as they are stored; null for other types.
  void (*(*direct)(BlockType))(const BlockTile&);
  // The kernel for expanded panels.
  void (*(*wide)(BlockFormat))(const BlockTile&);
  // A panel's steps, expanded.
  void (*(*expand)(BlockType))(const std::byte* panel, std::int64_t steps, std::byte* to);
  void (*quantize_row)(const QuantizeRow&);
};

// The same numbers from each.
const BlockKernels& block_kernels(Isa isa);

extern const BlockKernels kBlockBaseline;
#if defined(__x86_64__)
extern const BlockKernels kBlockAvx512Vnni;
#endif

}  // namespace stepstone::cpu
