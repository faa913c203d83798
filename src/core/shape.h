// The extents of a tensor: up to kMaxRank dimensions, each >= 0, row-major.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace stepstone {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  // Throws UsageError on a negative extent, a rank above kMaxRank, or an element count that
  // does not fit 63 bits.
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  // Negative indices count from the end: dim(-1) is the last extent.
  std::int64_t dim(int i) const { return dims_[static_cast<std::size_t>(i < 0 ? i + rank_ : i)]; }
  std::int64_t numel() const { return numel_; }
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }

  bool operator==(const Shape& other) const { return rank_ == other.rank_ && dims_ == other.dims_; }

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  std::int64_t numel_ = 1;
};

// "[2, 3, 4]"
std::string to_string(const Shape& shape);

}  // namespace stepstone
