#include "core/shape.h"

#include <fmt/ranges.h>

#include "core/error.h"

namespace stepstone {

Shape::Shape(std::span<const std::int64_t> dims) {
  require<UsageError>(dims.size() <= kMaxRank, "shape: rank {} is above {}", dims.size(), kMaxRank);
  rank_ = static_cast<int>(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    require<UsageError>(dims[i] >= 0, "shape: extent {} is negative", dims[i]);
    dims_[i] = dims[i];
    require<UsageError>(!__builtin_mul_overflow(numel_, dims[i], &numel_),
                        "shape [{}]: too many elements", fmt::join(dims, ", "));
  }
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.dims(), ", "));
}

}  // namespace stepstone
