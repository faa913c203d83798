// A in int8, for products with quantised weights.
#pragma once

#include <memory>
#include <vector>

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/block_panels.h"

namespace stepstone::cpu {

// All rows of A as the pieces of B with one RowScale want them; nothing if there are none.
class RowsInt8 {
 public:
  RowsInt8(const GemmArgs& x, const BlockPanels& b, RowScale kind, const BlockKernels& kernels);

  // The strip that begins with row `first`, a multiple of the kernels' mr.
  StripInt8 strip(std::int64_t first, const BlockFormat& format) const;
  // From a strip of that format and mr rows to the one behind it.
  void advance(StripInt8& strip, const BlockFormat& format) const;

 private:
  // An array beside the codes, of 4 bytes an entry: a member of StripInt8.
  enum class What : std::uint8_t { scales, left, right, starts, sums, pairs };
  struct Extra {
    What what;
    BlockFormat format;  // one of those that share it
    std::byte* memory = nullptr;
  };
  // What quantising has found of one row.
  struct Row {
    std::vector<float> scales;
    std::vector<std::int32_t> halved, sums16;
  };

  bool wants(What what, const BlockFormat& format) const;
  std::int64_t entries(What what, const BlockFormat& format) const;  // of a row
  const Extra* find(What what, const BlockFormat& format) const;
  template <typename T>
  const T* place(What what, std::int64_t first, const BlockFormat& format) const;
  void put(const Extra& to, std::int64_t first, int rows, int i, const Row& row) const;

  std::int64_t k_, steps_;
  RowScale kind_;
  int mr_;
  std::shared_ptr<Storage> memory_;
  std::int8_t* codes_ = nullptr;
  std::vector<Extra> extras_;
};

}  // namespace stepstone::cpu
