// General matrix product on the CPU: C = [C +] A·B [+ bias].
//
// Number rule. An element of C is a function of its row of A, its column of B, k, the compute type
// and the instruction set: not of m, n, the row's place, the strides, the number of threads, or
// whether B was packed beforehand. Products are summed in one chain per block of k; the blocks are
// fixed by k, their sums are added in order, and every step but the last rounding to a bf16 C is
// in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "backend/cpu/isa.h"
#include "core/dtype.h"
#include "core/storage.h"
#include "quant/block_type.h"

namespace stepstone::cpu {

// f32: the inputs as they are. bf16: both inputs rounded to bf16 (nearest even) on packing; sums in
// f32. int8: B is quantised in blocks (pack_blocks), A is rounded to int8 as its types ask
// (RowScale, block_format.h); products under one scale of B are summed in integers, those sums in
// f32 along k.
enum class Compute : std::uint8_t { f32, bf16, int8 };

// A matrix of f32 or bf16 elements. Element (i, j) is data[i·ld + j], or data[j·ld + i] if
// transposed. ld counts elements.
struct MatrixRef {
  const void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t ld = 0;
  bool transposed = false;
};

struct GemmArgs {
  std::int64_t m = 0, n = 0, k = 0;
  MatrixRef a;  // m × k
  MatrixRef b;  // k × n
  void* c = nullptr;
  DType c_dtype = DType::f32;  // f32 or bf16; a bf16 C is rounded once, at the end
  std::int64_t ldc = 0;
  bool accumulate = false;      // C += A·B
  const float* bias = nullptr;  // [n], added to every row
  Compute compute = Compute::f32;
};

// Rows of a quantised weight, columns of B, as they lie in a GGUF file.
struct BlockRows {
  BlockType type = BlockType::q8_0;
  std::span<const std::byte> blocks;  // at an even address
  std::int64_t rows = 0;
  std::span<const std::int64_t> order = {};  // column j is row order[j]; empty: row j
};

// Who keeps the blocks: they stay where they are as long as `owner` lives. `packed` is called once,
// when no product needs them any more.
struct BlockSource {
  std::shared_ptr<const void> owner;
  std::function<void()> packed;
};

class BlockPanels;

// B, packed once for many products with it (weights at inference).
class PackedMatrix {
 public:
  PackedMatrix() = default;

  std::int64_t k() const { return k_; }
  std::int64_t n() const { return n_; }
  Compute compute() const { return compute_; }
  std::size_t bytes() const { return bytes_; }
  // Packs now what the next products would (pack_blocks with an owner).
  void pack_all() const;

 private:
  friend PackedMatrix pack_b(const MatrixRef& b, std::int64_t k, std::int64_t n, Compute compute);
  friend PackedMatrix pack_blocks(std::span<const BlockRows> parts, std::int64_t k,
                                  BlockSource source);
  friend struct PackedAccess;

  std::int64_t k_ = 0, n_ = 0;
  Compute compute_ = Compute::f32;
  std::size_t bytes_ = 0;
  Isa isa_ = Isa::portable;
  DType stored_ = DType::f32;  // of the panels: f32, bf16, f16
  std::shared_ptr<Storage> panels_;
  std::shared_ptr<const BlockPanels> blocks_;  // compute int8
};

// A B of bf16 stays bf16, whatever the compute type. One of f16, with finite values and for f32
// alone, stays f16. Throws UsageError for a shape, stride, type or
// null pointer that cannot be meant.
PackedMatrix pack_b(const MatrixRef& b, std::int64_t k, std::int64_t n, Compute compute);
// B of compute type int8: the parts' rows become columns, one part after another. k is a multiple
// of every part's block. The blocks are copied; or, with an owner, the first product reads them
// there and those after it pack what they touch. A product with it takes no `accumulate`.
PackedMatrix pack_blocks(std::span<const BlockRows> parts, std::int64_t k, BlockSource source = {});
// Whether it takes blocks of that type: all quantised ones for weights.
bool has_block_kernel(BlockType type);

// Runs on the compute pool, or on the calling thread alone inside a parallel region. C must not
// overlap A, B or bias. Throws UsageError for a shape, stride, type or null pointer that cannot be
// meant; C is untouched then.
void gemm(const GemmArgs& args);

// The same with B packed; args.b is ignored, and args.n, args.k and args.compute must be b's.
void gemm(const GemmArgs& args, const PackedMatrix& b);

}  // namespace stepstone::cpu
