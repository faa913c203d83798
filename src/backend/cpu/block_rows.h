// A in int8, for products with quantised weights.
#pragma once

#include <memory>
#include <vector>

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/block_panels.h"

namespace stepstone::cpu {

// All rows of A as the pieces of B with one kind of row scales want them; nothing if there are
// none.
class RowsInt8 {
 public:
  RowsInt8(const GemmArgs& x, const BlockPanels& b, RowScale kind, const BlockKernels& kernels);

  // The strip that begins with row `first`, a multiple of the kernels' mr.
  StripInt8 strip(std::int64_t first, const BlockFormat& format) const;
  // From a strip of that format and mr rows to the one behind it.
  void advance(StripInt8& strip, const BlockFormat& format) const {
    const std::int64_t per_row = steps_ * scales_per_step(format);
    strip.codes += mr_ * k_;
    strip.scales += mr_ * (kind_ == RowScale::row ? 1 : steps_);
    if (strip.shifts) strip.shifts += mr_ * steps_;
    if (strip.starts) strip.starts += mr_ * per_row;
    if (strip.sums) strip.sums += mr_ * per_row;
  }

 private:
  // What some formats want of the sums of codes: 4 bytes for each of their scales' 16 or 32 k.
  struct Sums {
    int per_step;    // 1 or 2
    int zero_shift;  // -1: f32 sums for a minimum; else start values for this zero
    std::byte* memory = nullptr;
  };
  const Sums* find(int per_step, int zero_shift) const;
  void want(int per_step, int zero_shift);
  void put_sums(const Sums& to, std::int64_t first, int i, const QuantizeRow& row) const;

  std::int64_t k_, steps_;
  int mr_;
  RowScale kind_;
  std::shared_ptr<Storage> memory_;
  std::int8_t* codes_ = nullptr;
  float* scales_ = nullptr;
  std::int32_t* shifts_ = nullptr;
  std::vector<Sums> sums_;
};

}  // namespace stepstone::cpu
