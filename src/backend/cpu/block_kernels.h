// What block_gemm.cpp asks of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/block_format.h"
#include "backend/cpu/isa.h"
#include "core/dtype.h"

namespace stepstone::cpu {

// Some rows of A in int8, side by side: of every 32 k first what belongs to the first row, then to
// the second, … What a format wants beside the codes, by its RowScale; q are the codes of the 16 or
// 32 k that one of the format's scales is for, `halved` says how often the row's scale is:
struct StripInt8 {
  const std::int8_t* codes = nullptr;  // [steps][rows][32]
  // block: [steps][rows]; row: [rows], over 2^kMaxShift; super: [rows], times 2^sum_shift
  const float* scales = nullptr;
  const std::int32_t* left = nullptr;   // row: kMaxShift - halved; super: 16 - right. [steps][rows]
  const std::int32_t* right = nullptr;  // super: halved + sum_shift
  // -zero Σ q; super: plus half of 2^right, ties going up and down in turn. [k / 16 or 32][rows]
  const std::int32_t* starts = nullptr;
  // For a minimum: Σ q, times the scale (block) or 2^left (row). [k / 16 or 32][rows]
  const float* sums = nullptr;
  // For a minimum, super: Σ q 2^(min_fraction - halved) in 16 bits, in pairs. [k / 32 or 64][rows]
  const std::int32_t* pairs = nullptr;
};

// C[i][j] = Σ_k A[i][k] B[k][j] for `rows` rows and all nr columns of a panel. The
// products under one scale of B are summed in integers, those sums (super: of a super-block, in
// integers first) in one chain of f32 along k.
struct BlockTile {
  StripInt8 a;
  const std::byte* codes = nullptr;   // of the panel
  const std::byte* scales = nullptr;  // likewise
  std::int64_t steps = 0;
  int rows = 0;
  float* c = nullptr;
  std::ptrdiff_t c_row = 0;  // in elements
  int steps_ahead = 0;       // for a direct kernel: how far before their use codes are fetched
  // For a wide kernel, what is to be fetched into L2 meanwhile: so many lines per step, a tile
  // after the other.
  const std::byte* ahead = nullptr;
  const std::byte* ahead_end = nullptr;
  int ahead_lines = 0;
};

// A row of `count` elements, a multiple of 32. Codes of 32 go to `codes`, the next 32 `stride`
// further on.
struct QuantizeRow {
  const void* from = nullptr;
  DType dtype = DType::f32;
  std::int64_t count = 0;
  std::int8_t* codes = nullptr;
  std::ptrdiff_t stride = kStep;
  float* scales = nullptr;         // [count / 32] or, where `halved` is wanted, one
  std::int32_t* halved = nullptr;  // [count / 32]; null: RowScale::block
  std::int32_t* sums = nullptr;    // of the codes of every 16, [count / 16]
};

struct BlockKernels {
  int tile_rows, super_tile_rows;  // of a tile, at most, and of a strip of A
  int nr;
  // The kernel that reads panels of a type as they are stored; null for other types.
  void (*(*direct)(BlockType))(const BlockTile&);
  // The kernel for expanded panels.
  void (*(*wide)(BlockType))(const BlockTile&);
  // A panel's steps, expanded.
  void (*(*expand)(BlockType))(const BlockPanel& panel, std::int64_t steps, const BlockPanel& to);
  void (*quantize_row)(const QuantizeRow&);

  int mr(RowScale kind) const { return kind == RowScale::super ? super_tile_rows : tile_rows; }
};

// The same numbers from each.
const BlockKernels& block_kernels(Isa isa);

extern const BlockKernels kBlockBaseline;
#if defined(__x86_64__)
extern const BlockKernels kBlockAvx512Vnni;
#endif

}  // namespace stepstone::cpu
