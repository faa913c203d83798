// Quantised weights laid out for the kernels; the layout is in block_format.h.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/cpu/block_format.h"
#include "backend/cpu/gemm.h"
#include "core/storage.h"

namespace stepstone::cpu {

// Neighbouring columns of B of one type, in panels of nr. Several threads may ask for panels.
class BlockPiece {
 public:
  BlockPiece(const BlockRows& part, std::int64_t k, int nr, std::int64_t first);

  BlockType type() const { return rows_.type; }
  BlockFormat format() const { return block_format(rows_.type); }
  std::int64_t first() const { return first_; }  // column of B
  std::int64_t columns() const { return rows_.rows; }
  std::int64_t count() const { return (rows_.rows + nr_ - 1) / nr_; }  // panels
  std::int64_t code_bytes() const { return code_bytes_; }              // of a panel
  std::int64_t panel_bytes() const { return code_bytes_ + scale_bytes_; }

  // Panel i, to be read, if it is packed.
  std::optional<BlockPanel> find(std::int64_t i) const {
    if (state_[static_cast<std::size_t>(i)].load(std::memory_order_acquire) != State::packed) {
      return std::nullopt;
    }
    return place(i);
  }
  // Packs panel i, which is not packed, for good; false if another thread is at it.
  bool pack(std::int64_t i) const;
  // The same into memory of the caller.
  void pack_to(std::int64_t i, const BlockPanel& panel) const;

 private:
  enum class State : std::uint8_t { in_file, being_packed, packed };
  BlockPanel place(std::int64_t i) const {
    auto* begin = static_cast<std::byte*>(panels_->data());
    return {begin + i * code_bytes_, begin + count() * code_bytes_ + i * scale_bytes_};
  }

  BlockRows rows_;
  std::vector<std::int64_t> order_;
  std::int64_t k_, first_, code_bytes_, scale_bytes_;
  int nr_;
  std::shared_ptr<Storage> panels_;
  std::unique_ptr<std::atomic<State>[]> state_;
};

// The first product with B reads the blocks where they are; those after it pack what they touch.
// So a first token waits neither for all weights to be packed nor for the memory that takes.
class BlockPanels {
 public:
  // Every part has whole rows of k elements, k a multiple of its block. Without an owner the blocks
  // are packed before this returns.
  BlockPanels(std::span<const BlockRows> parts, std::int64_t k, int nr, BlockSource source);

  std::int64_t n() const { return n_; }
  int nr() const { return nr_; }
  std::span<const BlockPiece> pieces() const { return pieces_; }
  std::size_t bytes() const;  // packed
  // To be asked once per product: whether it is to keep the panels it packs.
  bool keeps() const { return products_.fetch_add(1, std::memory_order_relaxed) > 0; }
  void count_packed(std::int64_t panels) const;
  // In parallel, what is not packed yet.
  void pack_all() const;

 private:
  std::int64_t n_ = 0;
  int nr_;
  std::vector<BlockPiece> pieces_;
  BlockSource source_;
  mutable std::atomic<std::int64_t> products_{0}, unpacked_{0};
};

// gemm() with B in such panels.
void block_gemm(const GemmArgs& args, const BlockPanels& b);

}  // namespace stepstone::cpu
