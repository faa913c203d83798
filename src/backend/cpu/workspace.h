// Memory that a thread keeps from product to product.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "core/storage.h"

namespace stepstone::cpu {

// Grows to the largest block asked for. Small ones take a huge page too: panels and strips are
// walked side by side, over more small pages than the first TLB holds.
class Workspace {
 public:
  // At least `bytes`, 64-byte aligned; what it held before is lost.
  std::byte* reserve(std::size_t bytes) {
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    if (!memory_ || memory_->bytes() < bytes) {
      memory_.reset();
      memory_ = allocate(std::max(bytes, kHugePage));
    }
    return static_cast<std::byte*>(memory_->data());
  }
  template <typename T>
  T* reserve_array(std::size_t count) {
    return reinterpret_cast<T*>(reserve(count * sizeof(T)));
  }

 private:
  std::shared_ptr<Storage> memory_;
};

}  // namespace stepstone::cpu
