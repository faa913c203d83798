// Memory that tensors share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace stepstone {

enum class DeviceType : std::uint8_t { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  std::int8_t index = 0;
  bool operator==(const Device&) const = default;
};

// A block of bytes on a device; freed, or returned to its allocator's cache, with its last owner.
class Storage {
 public:
  using Release = std::function<void(void*, std::size_t)>;
  Storage(void* data, std::size_t bytes, Device device, Release release)
      : data_(data), bytes_(bytes), device_(device), release_(std::move(release)) {}
  ~Storage() {
    if (release_) release_(data_, bytes_);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  Release release_;
};

struct AllocatorStats {
  std::size_t live_bytes = 0;    // held by storages
  std::size_t cached_bytes = 0;  // freed, kept for reuse
  std::size_t peak_bytes = 0;    // highest live + cached so far
};

// Uninitialised memory from the device's caching allocator, aligned to 64 bytes. Throws Error with
// the size asked for and the size in use when there is none.
std::shared_ptr<Storage> allocate(std::size_t bytes, Device device = {});
AllocatorStats allocator_stats(Device device = {});
// Gives cached blocks back to the system.
void trim_allocator(Device device = {});

}  // namespace stepstone
