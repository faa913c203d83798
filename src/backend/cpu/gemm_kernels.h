// What gemm.cpp asks of an instruction set: a micro-kernel per panel format, and packing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/gemm.h"
#include "backend/cpu/isa.h"

namespace stepstone::cpu {

// A panel is a strip of B, `nr` columns wide, walked in steps down k. Each step is nr units of 32
// bits, one per column. Quantised weights have panels and kernels of their own: block_format.h.
enum class PanelFormat : std::uint8_t {
  f32,         // a step is one k
  bf16_pairs,  // a step is two: k in the lower half of the unit, k + 1 in the upper
  f16_pairs,   // likewise
};

constexpr std::int64_t step_length(PanelFormat format) {
  return format == PanelFormat::f32 ? 1 : 2;
}

// The most rows of a tile and columns of a panel over all instruction sets.
inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxPanelColumns = 48;

// Lines of memory that later tiles read: from, from + step, … A kernel prefetches kRunLines of
// them, one every kStepsPerLine steps: all at once they would hold up its own loads.
struct Run {
  const std::byte* from = nullptr;
  std::ptrdiff_t step = 0;  // bytes
};
inline constexpr int kRuns = 4, kRunLines = 16, kStepsPerLine = 4;

// C[i][j] = [add[i][j] +] Σ_k A[i][k]·B[k][j] [+ bias[j]] for rows × cols elements,
// 1 <= rows <= mr, 1 <= cols <= nr. All strides in bytes.
struct Tile {
  const std::byte* a = nullptr;
  std::ptrdiff_t a_row = 0, a_step = 0;  // from row to row; from unit to unit along k
  const std::byte* b = nullptr;          // a panel, 64-byte aligned
  std::int64_t steps = 0;
  int rows = 0, cols = 0;
  const std::byte* add = nullptr;  // null: nothing to add. May be c.
  DType add_dtype = DType::f32;
  std::ptrdiff_t add_row = 0;
  const float* bias = nullptr;  // null: none
  std::byte* c = nullptr;
  DType c_dtype = DType::f32;
  std::ptrdiff_t c_row = 0;
  Run ahead[kRuns];
  int runs = 0;
};

// Rows [0, depth) × columns [0, cols) of a k × n matrix, whose element (k, j) is at
// data[k·ld + j], or data[j·ld + k] if transposed, to panels of `width` columns: 8 (strips of A)
// or nr. Elements are rounded to bf16 if `round`. Units past cols hold zero up to a whole vector;
// so does the second half of a last pair without partner.
struct PackPanels {
  MatrixRef from;
  std::int64_t depth = 0, cols = 0;
  int width = 0;
  PanelFormat format = PanelFormat::f32;
  bool round = false;
  std::byte* to = nullptr;         // 64-byte aligned
  std::ptrdiff_t panel_bytes = 0;  // from panel to panel
};

struct GemmKernels {
  int mr, nr;
  void (*multiply_f32)(const Tile&);
  // Pairs, widened to f32 and multiplied by f32 A, two units of A per step.
  void (*multiply_bf16)(const Tile&);
  void (*multiply_f16)(const Tile&);
  // bf16_pairs by pairs of bf16 of A (vdpbf16ps); null where there is no such instruction.
  void (*multiply_dots)(const Tile&);
  void (*pack_panels)(const PackPanels&);  // of f16: as if they were bf16
  // Panels of pairs to f32 panels.
  void (*expand_bf16)(const std::byte* from, std::int64_t steps, std::byte* to);
  void (*expand_f16)(const std::byte* from, std::int64_t steps, std::byte* to);
  // A row of `count` elements, rounded to bf16, as f32 or bf16.
  void (*round_row)(const void* from, DType from_dtype, std::int64_t count, void* to,
                    DType to_dtype);
};

const GemmKernels& gemm_kernels(Isa isa);

extern const GemmKernels kGemmBaseline;
#if defined(__x86_64__)
extern const GemmKernels kGemmAvx512, kGemmAvx512Bf16;
#endif

}  // namespace stepstone::cpu
