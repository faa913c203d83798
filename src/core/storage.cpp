#include "core/storage.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr std::size_t kAlignment = 64;
// From this size on, blocks are aligned to and advised for 2 MiB pages: a packed GEMM walks them
// with strides that would otherwise miss the TLB on every row.
constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Sizes are rounded up so that freed blocks are found again: to 64 bytes below 4 KiB, above that
// to one eighth of the power of two below (at most 12.5 % waste).
std::size_t round_up(std::size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  std::size_t step = kAlignment;
  if (bytes > 4096) step = std::max(kAlignment, std::bit_floor(bytes) / 8);
  if (bytes >= kHugePage) step = std::max<std::size_t>(step, 4096);
  return (bytes + step - 1) / step * step;
}

class CpuAllocator {
 public:
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (auto it = free_.find(bytes); it != free_.end() && !it->second.empty()) {
      void* block = it->second.back();
      it->second.pop_back();
      stats_.cached_bytes -= bytes;
      stats_.live_bytes += bytes;
      return block;
    }
    void* block = from_system(bytes);
    if (block == nullptr) {
      release_cache();
      block = from_system(bytes);
    }
    require(block != nullptr, "out of memory: {} bytes asked for, {} in use", bytes,
            stats_.live_bytes);
    stats_.live_bytes += bytes;
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes + stats_.cached_bytes);
    return block;
  }

  void give_back(void* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    free_[bytes].push_back(block);
    stats_.live_bytes -= bytes;
    stats_.cached_bytes += bytes;
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    release_cache();
  }

  AllocatorStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  static void* from_system(std::size_t bytes) {
    const bool huge = bytes >= kHugePage;
    const std::size_t alignment = huge ? kHugePage : kAlignment;
    if (bytes > SIZE_MAX - alignment) return nullptr;
    void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block != nullptr && huge) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }

  void release_cache() {
    for (auto& [bytes, blocks] : free_) {
      for (void* block : blocks) std::free(block);
    }
    free_.clear();
    stats_.cached_bytes = 0;
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  AllocatorStats stats_;
};

// Never destroyed: storages in static objects may outlive any order of destruction.
CpuAllocator& cpu_allocator() {
  static auto* allocator = new CpuAllocator;
  return *allocator;
}

}  // namespace

std::shared_ptr<Storage> allocate(std::size_t bytes, Device device) {
  require<UsageError>(device.type == DeviceType::cpu, "this build has no CUDA device");
  require(bytes < SIZE_MAX / 2, "out of memory: {} bytes asked for", bytes);
  const std::size_t rounded = round_up(bytes);
  void* block = cpu_allocator().take(rounded);
  return std::make_shared<Storage>(block, rounded, device,
                                   [](void* p, std::size_t n) { cpu_allocator().give_back(p, n); });
}

AllocatorStats allocator_stats(Device) { return cpu_allocator().stats(); }
void trim_allocator(Device) { cpu_allocator().trim(); }

}  // namespace stepstone
