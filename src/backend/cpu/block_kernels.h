// What block_gemm.cpp asks of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/block_format.h"
#include "backend/cpu/isa.h"
#include "core/dtype.h"

namespace stepstone::cpu {

// Some rows of A in int8, side by side: of every 32 k first what belongs to the first row, then to
// the second, … x = scale q (RowScale::block), or x = 2^shift scale q with one scale for the row.
struct StripInt8 {
  const std::int8_t* codes = nullptr;    // [steps][rows][32]
  const float* scales = nullptr;         // [steps][rows] or [rows]
  const std::int32_t* shifts = nullptr;  // [steps][rows]
  // For every value that a scale of the format holds for (16 or 32 k), [k / 16 or 32][rows]:
  const std::int32_t* starts = nullptr;  // minus the format's zero times the sum of q
  const float* sums = nullptr;           // that sum, times the scale (block) or 2^shift (row)
};

// C[i][j] = Σ_k A[i][k] B[k][j] for `rows` rows and all nr columns of a panel. The
// products under one scale of B are summed in integers, those sums in one chain of f32 along k.
struct BlockTile {
  StripInt8 a;
  const std::byte* codes = nullptr;   // of the panel
  const std::byte* scales = nullptr;  // likewise
  std::int64_t steps = 0;
  int rows = 0;
  float* c = nullptr;
  std::ptrdiff_t c_row = 0;  // in elements
  // The panel that comes behind this one, if it is known, to be fetched into L2: by a wide kernel
  // so many lines per step, a tile after the other; by a direct one as far as it fetches ahead.
  const std::byte* ahead = nullptr;
  const std::byte* ahead_end = nullptr;
  int ahead_lines = 0;
};

// A row of `count` elements, a multiple of 32, to its place in a strip of `rows` rows.
struct QuantizeRow {
  const void* from = nullptr;
  DType dtype = DType::f32;
  std::int64_t count = 0;
  int rows = 1;
  std::int8_t* codes = nullptr;
  float* scales = nullptr;
  std::int32_t* shifts = nullptr;  // null: RowScale::block
  std::int32_t* sums = nullptr;    // of the codes of every 16, [count / 16]
};

struct BlockKernels {
  int mr;  // rows of a tile: 1 to mr
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
